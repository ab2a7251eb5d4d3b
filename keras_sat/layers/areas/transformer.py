import itertools

import keras
import tensorflow as tf
import tensorflow_addons as tfa

from keras_sat.layers.areas.grid import Grid
from keras_sat.layers.noise import SILENCE


@keras.saving.register_keras_serializable(package="keras_sat")
class SpatialTransformer(Grid):
    """Areas that move, by a spatial transformer at each cell of the feature map.

    A localisation network regresses an affine map at each cell, which places an anchor of 3×3
    points. The feature map is sampled at these points, and a 3×3 filter turns the patch into a
    descriptor. With identity maps and zoom 1 this is a 3×3 convolution of the feature map.

    The maps start close to the identity, and the filter takes the centre of the patch, so that the
    descriptors start almost as the grid's cells.

    Args:
        localisation_size: number of channels of the localisation network's hidden layer.
        zoom: the size of the anchors in units of 3×3 cells.
        activation: of the descriptors.
        **kwargs: as for `Grid`.

    Example: one region per cell of a map of 7×7.

        >>> transformer = SpatialTransformer(localisation_size=32)
        >>> features = tf.random.normal([1, 7, 7, 128])
        >>> regions, boxes, present = transformer({"features": features})
        >>> regions.shape
        TensorShape([1, 49, 128])

    Reference: Pedersoli et al. 2017, section 3.2; Jaderberg et al. 2015, "Spatial transformer
    networks".
    """

    def __init__(self, localisation_size=64, zoom=2.0, activation="linear", **kwargs):
        super().__init__(**kwargs)
        self.localisation_size = localisation_size
        self.zoom = zoom
        self.activation = activation
        self._activation = keras.activations.get(activation)
        self._hidden = keras.layers.Conv2D(
            localisation_size,
            3,
            padding="same",
            activation="relu",
            name="localisation",
            dtype=self._dtype_policy,
        )
        self._affine = keras.layers.Conv2D(
            6,
            3,
            padding="same",
            # Not zero: at the very centre of a cell the interpolation has no gradient with respect
            # to the location, so that nothing would move.
            kernel_initializer=keras.initializers.RandomNormal(stddev=1e-4),
            name="affine",
            dtype=self._dtype_policy,
        )

    def get_config(self):
        return super().get_config() | {
            "localisation_size": self.localisation_size,
            "zoom": self.zoom,
            "activation": self.activation,
        }

    def build(self, input_shape):
        size = input_shape["features"][-1]
        self.filter = self.add_weight("filter", [3, 3, size, size], initializer=_centre_of_patch)
        self.filter_bias = self.add_weight("filter_bias", [size], initializer="zeros")
        super().build(input_shape)

    def affine_maps(self, features):
        """The matrix at each cell, on (y, x) in units of half the anchor.

        Returns:
            float32 [B, h, w, 2, 3].
        """
        change = tf.cast(self._affine(self._hidden(features)), tf.float32)  # [B, h, w, 6]
        return tf.reshape(change + [1, 0, 0, 0, 1, 0], [-1, *features.shape[1:3], 2, 3])

    def call(self, inputs, noise=SILENCE):
        """See `keras_sat.layers.areas`; every region is present.

        The boxes are those of the moved anchors, clipped to the picture.
        """
        features = inputs["features"]
        batch = tf.shape(features)[0]
        height, width, size = features.shape[1:]
        rows, columns = self._chosen(noise)
        maps = self.affine_maps(features)[:, rows, columns]
        centres = tf.cast(_cells(height, width), tf.float32)[None][:, rows, columns]
        maps = tf.reshape(maps, [batch, -1, 2, 3])  # [B, L, 2, 3]
        centres = tf.reshape(centres, [1, -1, 1, 2])  # [1, L, 1, 2]

        points = centres + self._moved(maps, [-2 / 3, 0, 2 / 3])  # [B, L, 9, 2], in cells
        regions = self._descriptors(features, points, batch)

        corners = centres + 0.5 + self._moved(maps, [-1, 1])  # [B, L, 4, 2], in cells
        corners = corners / tf.constant([height, width], tf.float32)
        boxes = tf.concat([tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)], axis=-1)

        # The number of regions is known where the first cell is not drawn.
        regions.set_shape([None, centres.shape[1], size])
        boxes.set_shape([None, centres.shape[1], 4])
        return regions, tf.clip_by_value(boxes, 0, 1), tf.ones(tf.shape(boxes)[:2], tf.bool)

    def _moved(self, maps, places):
        """The points of an anchor after the maps, relative to its cell.

        Args:
            maps: [B, L, 2, 3].
            places: the places of the points along both axes, in units of half the anchor.

        Returns:
            [B, L, points, 2], distances in cells.
        """
        anchor = tf.constant([[y, x, 1] for y, x in itertools.product(places, places)], tf.float32)
        return 1.5 * self.zoom * tf.einsum("blij,pj->blpi", maps, anchor)

    def _descriptors(self, features, points, batch):
        """The filter's values [B, L, D] on patches that are sampled at the points [B, L, 9, 2]."""
        size = features.shape[-1]
        # A border of zeros, as a convolution has; points beyond it are moved onto it.
        padded = tf.pad(tf.cast(features, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]])
        points = tf.reshape(points, [batch, -1, 2]) + 1  # [B, L·9, 2]
        sampled = tfa.image.interpolate_bilinear(padded, points)  # [B, L·9, D]
        patches = tf.cast(tf.reshape(sampled, [batch, -1, 9 * size]), self.compute_dtype)
        filtered = tf.matmul(patches, tf.reshape(self.filter, [9 * size, size]))  # [B, L, D]
        return self._activation(filtered + self.filter_bias)


def _cells(height, width):
    """(y, x) of each cell, int32 [h, w, 2]."""
    return tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)


def _centre_of_patch(shape, dtype=None, **kwargs):
    """An initialiser: the filter [3, 3, D, D] that returns the centre of a patch."""
    centre = tf.eye(shape[2], shape[3], dtype=dtype)[None, None]
    return tf.pad(centre, [[1, 1], [1, 1], [0, 0], [0, 0]])
