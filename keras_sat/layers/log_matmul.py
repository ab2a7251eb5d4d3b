"""log Σ_r exp(C_wr + x_r) for many x: a matrix product with exp C where that is exact, a log-sum-exp where it is not."""

import tensorflow as tf

# Within this range of an image's scores, what the exponential form loses to float32's underflow (e^−87) is less than 1e-9
# of the smallest sum that can occur (e^−64).
_EXPONENTIAL_RANGE = 64.0


def prepare(scores):
    """What `log_matmul` needs of a matrix of scores, once an image.

    Args:
        scores: float32 [B, W, R].
    Returns:
        {"scores", "exponentials": [B, W, R], "top": [B, 1, 1], "wide": bool [B, 1, 1], images beyond the exponential form}.
    """
    top = tf.stop_gradient(tf.reduce_max(scores, axis=[1, 2], keepdims=True))
    wide = top - tf.reduce_min(scores, axis=[1, 2], keepdims=True) > _EXPONENTIAL_RANGE
    return {"scores": scores, "exponentials": tf.exp(tf.where(wide, 0.0, scores - top)), "top": top, "wide": wide}


def log_matmul(x, prepared, transpose=False):
    """y_bqw = log Σ_r exp(C_bwr + x_bqr), without a tensor of Q × W × R.

    Whether an image takes the exponential form depends on its own scores alone, so on no batch mate.

    Args:
        x: float32 [B, Q, R]; −1e9 leaves a region out.
        prepared: of `prepare`. transpose: sum over w instead, x [B, Q, W] → [B, Q, R].
    """
    highest = tf.stop_gradient(tf.reduce_max(x, axis=-1, keepdims=True))
    sums = tf.matmul(tf.exp(x - highest), prepared["exponentials"], transpose_b=not transpose)
    wide, exact = prepared["wide"], tf.math.log(sums) + highest + prepared["top"]  # [B, Q, W]
    scores = prepared["scores"]
    return tf.cond(
        tf.reduce_any(wide),
        lambda: tf.where(wide, _log_sum_exp(tf.linalg.matrix_transpose(scores) if transpose else scores, x), exact),
        lambda: exact,
    )


@tf.custom_gradient
def _log_sum_exp(scores, x):
    """The same one q at a time, in both directions: only W × R numbers an image at any moment."""
    queries = tf.transpose(x, [1, 0, 2])[:, :, None]  # [Q, B, 1, R]
    sums = tf.map_fn(lambda query: tf.reduce_logsumexp(scores + query, axis=-1), queries)  # [Q, B, W]

    def gradient(upstream):
        slopes = tf.transpose(upstream, [1, 0, 2])  # [Q, B, W]

        def body(q, by_scores, by_query):
            share = tf.exp(scores + queries[q] - sums[q][..., None]) * slopes[q][..., None]  # [B, W, R]
            return q + 1, by_scores + share, by_query.write(q, tf.reduce_sum(share, axis=1))

        count = tf.shape(queries)[0]
        start = (0, tf.zeros_like(scores), tf.TensorArray(tf.float32, count))
        _, by_scores, by_query = tf.while_loop(lambda q, *_: q < count, body, start)
        return by_scores, tf.transpose(by_query.stack(), [1, 0, 2])

    return tf.transpose(sums, [1, 0, 2]), gradient
