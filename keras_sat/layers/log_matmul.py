"""log Σ_r exp(x_r + C_rw) for many x: a matrix product with exp C where that is exact, a log-sum-exp where it is not."""

import tensorflow as tf

from keras_sat.layers.product import product

# Within this range of an image's scores, what the exponential form loses to float32's underflow (e^−87) is less than 1e-9
# of the smallest sum that can occur (e^−64).
_EXPONENTIAL_RANGE = 64.0


def prepare(scores):
    """What `log_matmul` needs of a matrix of scores, once an image.

    Args:
        scores: float32 [B, R, W].
    Returns:
        {"scores", "exponentials": [B, R, W], "top": [B, 1, 1], "wide": bool [B, 1, 1], images beyond the exponential form}.
        Gradients go to the scores alone.
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

    Whether an image takes the exponential form depends on its own scores alone, so on no batch mate.

    Args:
        x: float32 [B, Q, R]; −1e9 leaves a region out.
        prepared: of `prepare`. transpose: sum over w instead, x [B, Q, W] → [B, Q, R].
        constant: the scores get no gradient.
    """
    exponentials, top, wide = (prepared[name] for name in ("exponentials", "top", "wide"))
    some_wide = tf.reduce_any(wide)

    def log_sum_exp(x, scores):
        return _log_sum_exp(x, tf.linalg.matrix_transpose(scores) if transpose else scores)

    @tf.custom_gradient
    def of(x, scores):
        highest = tf.reduce_max(x, axis=-1, keepdims=True)
        shares = tf.exp(x - highest)
        sums = product(shares, exponentials, transpose)  # [B, Q, W]
        exact = tf.math.log(sums) + highest + top
        y = tf.cond(some_wide, lambda: tf.where(wide, log_sum_exp(x, scores), exact), lambda: exact)
        sources = (x,) if constant else (x, scores)

        def gradient(upstream):
            def exponential():
                ratios = upstream / sums
                by_x = shares * product(ratios, exponentials, not transpose)
                if constant:
                    return (by_x,)
                pair = (ratios, shares) if transpose else (shares, ratios)
                return by_x, exponentials * tf.matmul(*pair, transpose_a=True)

            def either():
                with tf.GradientTape() as tape:
                    tape.watch([x, scores])
                    y = log_sum_exp(x, scores)
                slow = tape.gradient(y, sources, upstream)
                return tuple(tf.where(wide, a, b) for a, b in zip(slow, exponential()))

            gradients = tf.cond(some_wide, either, exponential)
            return (*gradients, None) if constant else gradients

        return tf.ensure_shape(y, exact.shape), gradient

    return of(x, prepared["scores"])


@tf.custom_gradient
def _log_sum_exp(x, scores):
    """The same one q at a time, in both directions: only R × W numbers an image at any moment."""
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
