import tensorflow as tf


def product(x, matrix, transpose=False):
    """Multiplies by a matrix per image, or by its transpose.

    For Q > 1, TensorFlow's own product with a transposed matrix takes four times as long on CPUs,
    and so does its gradient of the plain product.

    Args:
        x: [B, Q, R], or [B, Q, W] where the matrix is transposed.
        matrix: [B, R, W].
        transpose: whether to multiply by the transpose.

    Returns:
        [B, Q, W], or [B, Q, R] where the matrix is transposed.
    """

    @tf.custom_gradient
    def multiply(x, matrix):
        def gradient(upstream):
            by_x = product(upstream, matrix, not transpose)
            if transpose:
                by_matrix = tf.matmul(upstream, x, transpose_a=True)
            else:
                by_matrix = tf.matmul(x, upstream, transpose_a=True)
            return by_x, by_matrix

        if transpose:
            y = tf.linalg.matrix_transpose(tf.matmul(matrix, x, transpose_b=True))
        else:
            y = tf.matmul(x, matrix)
        return y, gradient

    return multiply(x, matrix)
