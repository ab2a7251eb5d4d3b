"""Picture bytes → pixels, by stock TensorFlow ops alone.

Preparation, captioning and the served graph all decode with these functions.
"""

import functools

import tensorflow as tf

from keras_sat.pictures.boxes import CROP_SHARE
from keras_sat.pictures.headers import (
    FileBytes,
    decoding_fault,
    exif_orientation,
    gif_colours,
    gif_frame,
    picture_fault,
    picture_format,
)

OK = "OK"


def decode_pictures(encoded, sizes, resize, max_pixels):
    """A batch of pictures as the CNN takes them. What cannot be decoded stops nothing and changes no other picture.

    Args:
        encoded: string tensor [B], any bytes.
        sizes: {name: height and width S in pixels}. resize: see `config.Encoder`.
        max_pixels: int, the most that are decoded.
    Returns:
        ({name: uint8 [B, S, S, 3], and "shape": int32 [B, 2], height and width of the whole picture}, status string [B]):
        where the status is not `OK` but says why, the picture is zeros.
    """
    count = tf.size(encoded, tf.int64)
    blank = {name: tf.zeros([size, size, 3], tf.uint8) for name, size in sizes.items()} | {
        "shape": tf.zeros([2], tf.int32)
    }

    def decoded(picture):
        shown = decode_picture(picture)
        return {name: fit(shown, size, resize) for name, size in sizes.items()} | {
            "shape": tf.shape(shown)[:2]
        }

    def decode(row, picture):
        fault = picture_fault(picture, max_pixels)
        return row, fault, tf.cond(fault == "", lambda: decoded(picture), lambda: blank)

    # A dataset, for it alone goes on after an error. The row beyond the last makes sure that there is something to batch.
    found = (
        tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
        .map(decode, 2)
        .ignore_errors()
    )
    found = tf.data.Dataset.from_tensors((count, "", blank)).concatenate(found).batch(count + 1)
    rows, faults, pictures = found.get_single_element()
    undecodable = tf.pad(decoding_fault(picture_format(encoded)), [[0, 1]])
    faults = tf.tensor_scatter_nd_update(undecodable, rows[:, None], faults)[:-1]
    pictures = {
        name: tf.ensure_shape(
            tf.scatter_nd(rows[:, None], each, [count + 1, *each.shape[1:]])[:-1],
            [None, *each.shape[1:]],
        )
        for name, each in pictures.items()
    }
    return pictures, tf.where(faults == "", OK, faults)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode_picture(encoded):
    """The picture as it is meant to be seen: JPEG (turned as its EXIF orientation says), PNG, GIF's first frame or BMP.

    Args:
        encoded: scalar string tensor.
    Returns:
        uint8 [H, W, 3], RGB.
    Raises:
        tf.errors.InvalidArgumentError: where the bytes are no picture.
    """
    kind = picture_format(encoded)
    one_frame = tf.cond(kind == "GIF", lambda: _first_frame(encoded), lambda: encoded)
    pixels = tf.io.decode_image(one_frame, channels=3, expand_animations=False)
    pixels.set_shape([None, None, 3])
    pixels = tf.cond(kind == "BMP", lambda: _bmp_colours(encoded, pixels), lambda: pixels)
    orientation = exif_orientation(encoded)
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    pixels = tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)
    return tf.cond(mirrored, lambda: pixels[:, ::-1], lambda: pixels)


def decode_image(encoded, image_size, resize="squash"):
    """The picture of `decode_picture` as the CNN takes it; arguments and result as those of `fit`."""
    return _decoder(image_size, resize)(encoded)


@functools.cache
def _decoder(image_size, resize):
    """`decode_image` for one kind of encoder, as one graph: op by op it would take twice the time."""
    decode = lambda encoded: fit(decode_picture(encoded), image_size, resize)  # noqa: E731
    return tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def fit(pixels, image_size, resize="squash"):
    """A picture in the size that the CNN takes.

    Args:
        pixels: uint8 [H, W, 3].
        image_size: height and width S of the result in pixels.
        resize: `squash` or `crop`, see `config.Encoder`.
    Returns:
        uint8 [S, S, 3].
    """
    shape = tf.shape(pixels)[:2]
    if resize == "crop":
        scale = image_size / CROP_SHARE / tf.cast(tf.reduce_min(shape), tf.float32)
        whole = tf.cast(tf.math.ceil(tf.cast(shape, tf.float32) * scale), tf.int32)
    else:
        whole = tf.constant([image_size, image_size])
    # Only what is seen is computed: of a narrow strip, the whole would be very large.
    # Antialiasing matters: pictures are mostly shrunk. Where the size is right already, this changes no pixel.
    seen = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=[image_size, image_size],
        scale=tf.cast(whole, tf.float32) / tf.cast(shape, tf.float32),
        translation=-tf.cast((whole - image_size) // 2, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(seen), 0, 255), tf.uint8)


def _first_frame(encoded):
    """A GIF with its first frame alone, which fills the screen: TensorFlow unpacks all of them before it takes the first."""
    file = FileBytes(encoded, -1)
    frame = gif_frame(file)
    data = frame + 11 + gif_colours(file.number(frame + 9, 1))
    length = tf.minimum(file.after(data), file.size)
    start = tf.minimum(frame + 5, length)
    parts = [
        tf.strings.substr(encoded, 0, tf.minimum(frame + 1, length)),
        bytes(4),
        tf.strings.substr(encoded, start, length - start),
    ]
    return tf.strings.join([*parts, ";"])


def _bmp_colours(encoded, pixels):
    """A BMP's pixels, from its table of colours where they are indices, which TensorFlow takes for grey."""
    file = FileBytes(encoded, 2048)
    table = (
        14 + file.number(14, 4, True) + 4 * tf.range(256)[:, None] + [2, 1, 0]
    )  # blue, green, red, nothing
    colours = tf.gather(file.values, tf.clip_by_value(table, 0, file.size))  # [256, 3]
    indexed = file.number(28, 2, True) == 8
    return tf.cond(
        indexed, lambda: tf.gather(colours, tf.cast(pixels[..., 0], tf.int32)), lambda: pixels
    )
