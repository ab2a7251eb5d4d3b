import pytest
import tensorflow as tf

from keras_sat.layers import product
from tests.support.rounding import assert_close


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("queries", [1, 5])
def test_it_is_tensorflows_product(transpose, queries):
    matrix = tf.random.stateless_normal([3, 7, 4], [1, 2])
    x = tf.random.stateless_normal([3, queries, 4 if transpose else 7], [3, 4])
    results = []
    for multiply in (
        product,
        lambda x, matrix, transpose: tf.matmul(x, matrix, transpose_b=transpose),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, matrix])
            y = multiply(x, matrix, transpose)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, matrix])])
    for found, expected in zip(*results):
        # Roundings: a product, and one of its gradient.
        assert_close(found, expected, roundings=7 + 7 + 5)
