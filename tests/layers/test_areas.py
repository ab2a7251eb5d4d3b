"""The three kinds of areas, each against a plain way of computing it."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sat import layers
from keras_sat.layers.areas.grid import grid_boxes
from keras_sat.layers.areas.proposals import max_pool_boxes
from keras_sat.layers.noise import Noise
from tests.support.rounding import assert_close

FEATURES = tf.random.stateless_normal([3, 5, 7, 4], [1, 2])
CELLS = tf.reshape(FEATURES, [3, 35, 4])
# Roundings: the coordinates of 3 × 3 cells, then sums over these cells and 4 channels.
FILTER = 2 * 3 * 3 * 4


def noise(step):
    return Noise(0, tf.constant(step), tf.range(3))


def test_stride_one_is_all_cells():
    for kwargs in ({}, {"noise": noise(0)}):
        regions, boxes, present = layers.Grid()({"features": FEATURES}, **kwargs)
        np.testing.assert_array_equal(regions, CELLS)
        np.testing.assert_array_equal(boxes[2], grid_boxes(5, 7))
        assert np.all(present)


def test_a_stride_takes_cells_from_a_random_phase_on():
    grid = layers.Grid(train_stride=2, test_stride=3)
    seen = set()
    for step in range(30):
        regions, boxes, _ = grid({"features": FEATURES}, noise=noise(step))
        y, x = np.rint(boxes[0, 0, :2].numpy() * [5, 7]).astype(int)
        seen.add((y, x))
        np.testing.assert_array_equal(regions, tf.reshape(FEATURES[:, y::2, x::2], [3, -1, 4]))
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}
    regions, boxes, _ = grid({"features": FEATURES})
    np.testing.assert_array_equal(regions, tf.reshape(FEATURES[:, ::3, ::3], [3, -1, 4]))
    assert_close(boxes[0, 1], [0, 3 / 7, 1 / 5, 4 / 7], roundings=4)


def random_boxes(count):
    corners = np.sort(np.random.default_rng(1).uniform(size=[3, count, 2, 2]), axis=2)
    return tf.constant(corners.reshape(3, count, 4)[..., [0, 1, 2, 3]], tf.float32)


def cells_of(start, end, count):
    """The cells with centres between start and end; if there are none, the one in the middle."""
    inside = [i for i in range(count) if start <= (i + 0.5) / count < end]
    return inside or [int((start + end) / 2 * count)]


def test_pooling_is_a_loop_over_cells():
    whole_cells = tf.tile(grid_boxes(5, 7)[None], [3, 1, 1])
    boxes = tf.concat([random_boxes(200), whole_cells, tf.constant([[[0.0, 0, 1, 1]]] * 3)], axis=1)
    found = max_pool_boxes(FEATURES, boxes).numpy()
    for b, image in enumerate(boxes.numpy()):
        for m, (ymin, xmin, ymax, xmax) in enumerate(image):
            rows = cells_of(ymin, ymax, 5)
            columns = cells_of(xmin, xmax, 7)
            inside = [FEATURES[b, y, x] for y in rows for x in columns]
            np.testing.assert_array_equal(found[b, m], np.max(inside, axis=0))


def test_the_pools_gradient_goes_to_the_maximum():
    with tf.GradientTape() as tape:
        tape.watch(FEATURES)
        pooled = max_pool_boxes(FEATURES, tf.constant([[[0.0, 0, 1, 1]]] * 3))
    gradient = tape.gradient(pooled, FEATURES).numpy().reshape(3, 35, 4)
    np.testing.assert_array_equal(gradient.argmax(1), CELLS.numpy().argmax(1))
    assert gradient.sum() == 12


def test_training_draws_boxes_and_testing_takes_the_first():
    boxes = tf.concat([random_boxes(10), tf.zeros([3, 6, 4])], axis=1)
    # The third image has two boxes.
    boxes = tf.tensor_scatter_nd_update(boxes, [[2, i] for i in range(2, 10)], tf.zeros([8, 4]))
    inputs = {"features": FEATURES, "boxes": boxes}
    areas = layers.Proposals(train_boxes=4, test_boxes=7)
    drawn = []
    regions, chosen, present = areas(inputs)
    np.testing.assert_array_equal(chosen, boxes[:, :7])
    np.testing.assert_array_equal(regions, max_pool_boxes(FEATURES, boxes[:, :7]))
    assert present.numpy().sum(axis=1).tolist() == [7, 7, 2]
    for step in range(40):
        _, chosen, present = areas(inputs, noise=noise(step))
        assert present.numpy().sum(axis=1).tolist() == [4, 4, 2], "real boxes come before padding"
        drawn.append({tuple(box) for box in chosen[0].numpy()})
    assert set.union(*drawn) == {tuple(box) for box in boxes[0, :10].numpy()}
    assert len(set(map(frozenset, drawn))) > 20


def test_a_second_map_is_pooled_where_there_is_one():
    larger = tf.random.stateless_normal([3, 9, 9, 6], [4, 4])
    boxes = random_boxes(3)
    regions, *_ = layers.Proposals()(
        {"features": FEATURES, "region_features": larger, "boxes": boxes}
    )
    np.testing.assert_array_equal(regions, max_pool_boxes(larger, boxes))


def transformer(**kwargs):
    """A spatial transformer whose maps are the identity."""
    areas = layers.SpatialTransformer(localisation_size=3, **kwargs)
    areas({"features": FEATURES})
    areas._affine.kernel.assign(tf.zeros_like(areas._affine.kernel))
    return areas


def test_identity_maps_make_a_convolution():
    areas = transformer(zoom=1.0)
    areas.filter.assign(tf.random.stateless_normal([3, 3, 4, 4], [3, 1]))
    areas.filter_bias.assign([1, 2, 3, 4])
    regions, boxes, _ = areas({"features": FEATURES})
    expected = tf.nn.conv2d(FEATURES, areas.filter, 1, "SAME") + areas.filter_bias
    assert_close(regions, tf.reshape(expected, [3, 35, 4]), roundings=FILTER)
    # The cell (1, 1) with its neighbours.
    assert_close(boxes[0, 8], [0, 0, 3 / 5, 3 / 7], roundings=8)


def test_strides_are_those_of_the_grid():
    areas = transformer(train_stride=2, test_stride=2)
    regions, *_ = areas({"features": FEATURES})
    assert_close(regions, tf.reshape(FEATURES[:, ::2, ::2], [3, -1, 4]), roundings=FILTER)
    assert areas({"features": FEATURES}, noise=noise(1))[0].shape[1] < 35


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_it_starts_as_the_grid(zoom):
    regions, *_ = layers.SpatialTransformer(zoom=zoom)({"features": FEATURES})
    np.testing.assert_allclose(regions, CELLS, atol=0.02)


def test_the_boxes_follow_the_maps():
    areas = transformer(zoom=1.0)
    # Half an anchor is 1.5 cells: half a cell down, one to the left.
    scale = 0.5
    y = 1 / 3
    x = -2 / 3
    areas._affine.bias.assign([scale - 1, 0, y, 0, scale - 1, x])
    centre = 3 * 7 + 4  # the cell (3, 4), whose centre is (3.5, 4.5)
    regions, boxes, _ = areas({"features": FEATURES})
    assert_close(boxes[1, centre], [3.25 / 5, 2.75 / 7, 4.75 / 5, 4.25 / 7], roundings=8)
    assert_close(regions[1, centre], (FEATURES[1, 3, 3] + FEATURES[1, 4, 3]) / 2, roundings=FILTER)


def test_gradients_reach_the_localisation_network():
    """They reach all weights of the new layer: none has to wait until others have been trained."""
    areas = layers.SpatialTransformer()
    areas({"features": FEATURES})
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(areas({"features": FEATURES})[0] ** 2)
    for weight, gradient in zip(
        areas.trainable_weights, tape.gradient(loss, areas.trainable_weights)
    ):
        assert np.any(gradient), weight.name
