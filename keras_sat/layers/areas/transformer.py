import itertools

import keras
import tensorflow as tf
import tensorflow_addons as tfa

from keras_sat.layers.areas.grid import Grid
from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class SpatialTransformer(Grid):
    """Areas that move: a localisation network regresses an affine map at each cell, which places an anchor of 3×3 points;
    the feature map is sampled there, and a 3×3 filter turns the patch into a descriptor.

    With identity maps and zoom 1 this is a 3×3 convolution of the feature map. It starts with maps close to the identity and
    a filter that takes the patch's centre, so that the descriptors are almost the grid's cells.

    Args:
        localisation_size: channels of the localisation network's hidden layer.
        zoom: the anchors' size in units of 3×3 cells.
        activation: of the descriptors.
        train_stride, test_stride: as for `Grid`.

    Reference: Pedersoli et al. 2017, section 3.2; Jaderberg et al. 2015, "Spatial transformer networks".
    """

    def __init__(self, localisation_size=64, zoom=2.0, activation="linear", **kwargs):
        super().__init__(**kwargs)
        self.localisation_size = localisation_size
        self.zoom = zoom
        self._activation = keras.activations.get(activation)
        convolution = {"padding": "same", "dtype": self._dtype_policy}
        self._hidden = keras.layers.Conv2D(
            localisation_size, 3, activation="relu", name="localisation", **convolution
        )
        # Not zero: at a cell's very centre the gradient of the interpolation to the location is zero, so nothing would move.
        almost_identity = keras.initializers.RandomNormal(stddev=1e-4)
        self._affine = keras.layers.Conv2D(
            6, 3, kernel_initializer=almost_identity, name="affine", **convolution
        )

    def build(self, input_shape):
        size = input_shape["features"][-1]
        self.filter = self.add_weight("filter", [3, 3, size, size], initializer=_centre_of_patch)
        self.filter_bias = self.add_weight("filter_bias", [size], initializer="zeros")
        super().build(input_shape)

    def affine_maps(self, features):
        """The matrix at each cell, on (y, x) in units of half the anchor; float32 [B, h, w, 2, 3]."""
        change = tf.cast(self._affine(self._hidden(features)), tf.float32)  # [B, h, w, 6]
        return tf.reshape(change + [1, 0, 0, 0, 1, 0], [-1, *features.shape[1:3], 2, 3])

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; every region is present. Boxes are the moved anchors', clipped to the picture."""
        features = inputs["features"]
        batch, (height, width, size) = tf.shape(features)[0], features.shape[1:]
        take = self._phase(noise)
        maps = take(self.affine_maps(features))
        centres = take(tf.cast(_cells(height, width), tf.float32)[None])
        maps, centres = (
            tf.reshape(maps, [batch, -1, 2, 3]),
            tf.reshape(centres, [1, -1, 1, 2]),
        )  # [B, L, …]

        points = centres + self._moved(maps, [-2 / 3, 0, 2 / 3])  # [B, L, 9, 2], in cells
        # A border of zeros, as a convolution has it; what lies beyond is moved onto it.
        padded = tf.pad(tf.cast(features, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]])
        sampled = tfa.image.interpolate_bilinear(padded, tf.reshape(points, [batch, -1, 2]) + 1)
        patches = tf.cast(tf.reshape(sampled, [batch, -1, 9 * size]), self.compute_dtype)
        regions = self._activation(
            tf.matmul(patches, tf.reshape(self.filter, [9 * size, size])) + self.filter_bias
        )

        corners = (centres + 0.5 + self._moved(maps, [-1, 1])) / tf.constant(
            [height, width], tf.float32
        )
        boxes = tf.concat([tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)], axis=-1)
        regions.set_shape([None, centres.shape[1], size])  # known where the phase is not drawn
        boxes.set_shape([None, centres.shape[1], 4])
        return regions, tf.clip_by_value(boxes, 0, 1), tf.ones(tf.shape(boxes)[:2], tf.bool)

    def _moved(self, maps, places):
        """The anchor's points at these places along both axes, after the maps [B, L, 2, 3]: distances in cells."""
        anchor = tf.constant([[y, x, 1] for y, x in itertools.product(places, places)], tf.float32)
        return 1.5 * self.zoom * tf.einsum("blij,pj->blpi", maps, anchor)


def _cells(height, width):
    """(y, x) of each cell, int32 [h, w, 2]."""
    return tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)


def _centre_of_patch(shape, dtype=None, **kwargs):
    return tf.pad(
        tf.eye(shape[2], shape[3], dtype=dtype)[None, None], [[1, 1], [1, 1], [0, 0], [0, 0]]
    )
