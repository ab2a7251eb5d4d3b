"""log Σ_r exp(x_r + C_rw) for many x.

A matrix product with exp C where that is exact, a log-sum-exp where it is not.
"""

import tensorflow as tf

from keras_sat.layers.product import product

# Within this range of an image's scores, the exponential form loses less to float32's underflow
# (e^−87) than 1e-9 of the smallest sum that can occur (e^−64).
_EXPONENTIAL_RANGE = 64.0


def prepare(scores):
    """What `log_matmul` needs of a matrix of scores, computed once per image.

    Args:
        scores: C, float32 [B, R, W].

    Returns:
        A dictionary: `scores`; `exponentials`, exp(C − top) [B, R, W]; `top`, the greatest score
        [B, 1, 1]; and `wide`, bool [B, 1, 1], the images whose range is too large for the
        exponential form. Only `scores` has a gradient.
    """
    constant = tf.stop_gradient(scores)
    top = tf.reduce_max(constant, axis=[1, 2], keepdims=True)
    wide = top - tf.reduce_min(constant, axis=[1, 2], keepdims=True) > _EXPONENTIAL_RANGE
    return {
        "scores": scores,
        "exponentials": tf.exp(tf.where(wide, 0.0, constant - top)),
        "top": top,
        "wide": wide,
    }


def log_matmul(x, prepared, transpose=False, constant=False):
    """y_bqw = log Σ_r exp(x_bqr + C_brw), without a tensor of Q × R × W.

    Whether an image takes the exponential form depends on its own scores alone, not on the other
    images of the batch.

    Args:
        x: float32 [B, Q, R]; −1e9 leaves a region out.
        prepared: of `prepare`.
        transpose: sum over w instead, x [B, Q, W] → [B, Q, R].
        constant: whether the scores get no gradient.

    Returns:
        float32 [B, Q, W], or [B, Q, R] with `transpose`.
    """
    exponentials = prepared["exponentials"]
    top = prepared["top"]
    wide = prepared["wide"]
    some_wide = tf.reduce_any(wide)

    def log_sum_exp(x, scores):
        return _log_sum_exp(x, tf.linalg.matrix_transpose(scores) if transpose else scores)

    @tf.custom_gradient
    def compute(x, scores):
        highest = tf.reduce_max(x, axis=-1, keepdims=True)
        shares = tf.exp(x - highest)
        sums = product(shares, exponentials, transpose)  # [B, Q, W]
        exponential_form = tf.math.log(sums) + highest + top
        y = tf.cond(
            some_wide,
            lambda: tf.where(wide, log_sum_exp(x, scores), exponential_form),
            lambda: exponential_form,
        )
        sources = (x,) if constant else (x, scores)

        def gradient(upstream):
            def of_exponential_form():
                ratios = upstream / sums
                by_x = shares * product(ratios, exponentials, not transpose)
                if constant:
                    return (by_x,)
                if transpose:
                    by_exponentials = tf.matmul(ratios, shares, transpose_a=True)
                else:
                    by_exponentials = tf.matmul(shares, ratios, transpose_a=True)
                return by_x, exponentials * by_exponentials

            def of_both_forms():
                with tf.GradientTape() as tape:
                    tape.watch([x, scores])
                    y = log_sum_exp(x, scores)
                slow = tape.gradient(y, sources, upstream)
                fast = of_exponential_form()
                return tuple(tf.where(wide, a, b) for a, b in zip(slow, fast))

            gradients = tf.cond(some_wide, of_both_forms, of_exponential_form)
            return (*gradients, None) if constant else gradients

        return tf.ensure_shape(y, exponential_form.shape), gradient

    return compute(x, prepared["scores"])


@tf.custom_gradient
def _log_sum_exp(x, scores):
    """The same for any scores, one q at a time, in both directions.

    At any moment there are only R × W numbers per image.
    """
    queries = tf.transpose(x, [1, 0, 2])[..., None]  # [Q, B, R, 1]
    sums = tf.map_fn(
        lambda query: tf.reduce_logsumexp(query + scores, axis=1), queries
    )  # [Q, B, W]

    def gradient(upstream):
        slopes = tf.transpose(upstream, [1, 0, 2])  # [Q, B, W]

        def body(q, by_query, by_scores):
            share = tf.exp(queries[q] + scores - sums[q][:, None]) * slopes[q][:, None]  # [B, R, W]
            return q + 1, by_query.write(q, tf.reduce_sum(share, axis=2)), by_scores + share

        count = tf.shape(queries)[0]
        start = (0, tf.TensorArray(tf.float32, count), tf.zeros_like(scores))
        _, by_query, by_scores = tf.while_loop(lambda q, *_: q < count, body, start)
        return tf.transpose(by_query.stack(), [1, 0, 2]), by_scores

    return tf.transpose(sums, [1, 0, 2]), gradient
