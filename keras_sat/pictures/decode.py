"""Encoded pictures → pixels, with stock TensorFlow ops only.

Preparation, captioning and the served graph all decode with these functions, so that they see the
same pixels.
"""

import contextlib
import functools

import tensorflow as tf

from keras_sat.pictures.boxes import CROP_SHARE
from keras_sat.pictures.headers import (
    FileBytes,
    decoding_fault,
    exif_orientation,
    gif_frame,
    gif_palette_size,
    picture_fault,
    picture_format,
)
from keras_sat.utils.errors import UserError

OK = "OK"


@contextlib.contextmanager
def decoding_of(encoded, max_pixels):
    """A context manager around everything that decodes one picture.

    Args:
        encoded: bytes.
        max_pixels: the largest number of pixels that is decoded.
    Raises:
        UserError: the reason, as `decode_pictures` gives it; nothing is decoded if the header
            already tells it.
    """
    try:
        fault = picture_fault(encoded, max_pixels).numpy().decode()
        if fault:
            raise UserError(fault)
        yield
    except tf.errors.OpError as error:
        reason = decoding_fault(picture_format(encoded)).numpy().decode()
        raise UserError(reason) from error


def decode_pictures(encoded, sizes, resize, max_pixels):
    """A batch of pictures as the CNN takes them.

    A picture that cannot be decoded fails nothing and changes no other picture of the batch.

    Args:
        encoded: string tensor [B], any bytes.
        sizes: {name: height and width S in pixels}.
        resize: `squash` or `crop`, see `config.Encoder`.
        max_pixels: int, the largest number of pixels that is decoded.
    Returns:
        (pictures, status). Pictures are {name: uint8 [B, S, S, 3]} and "shape", int32 [B, 2], the
        height and width of the whole picture. Status is a string tensor [B]: `OK`, or the reason
        why the picture is zeros.
    """
    count = tf.size(encoded, tf.int64)
    blank = {name: tf.zeros([size, size, 3], tf.uint8) for name, size in sizes.items()}
    blank["shape"] = tf.zeros([2], tf.int32)

    def decode_fitted(picture):
        whole = decode_picture(picture)
        fitted = {name: fit(whole, size, resize) for name, size in sizes.items()}
        return fitted | {"shape": tf.shape(whole)[:2]}

    def decode(row, picture):
        fault = picture_fault(picture, max_pixels)
        fitted = tf.cond(fault == "", lambda: decode_fitted(picture), lambda: blank)
        return row, fault, fitted

    # Of all ops only a dataset continues after an error. The blank row in front keeps the batch
    # from being empty.
    sources = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    decoded = sources.map(decode, 2).ignore_errors()
    blank_row = tf.data.Dataset.from_tensors((count, "", blank))
    rows, faults, fitted = blank_row.concatenate(decoded).batch(count + 1).get_single_element()
    # A row that is missing could not be decoded. The blank row is the last, and is cut off.
    undecodable = tf.pad(decoding_fault(picture_format(encoded)), [[0, 1]])
    faults = tf.tensor_scatter_nd_update(undecodable, rows[:, None], faults)[:-1]  # [B]
    pictures = {}
    for name, values in fitted.items():
        shape = values.shape[1:]
        scattered = tf.scatter_nd(rows[:, None], values, [count + 1, *shape])[:-1]
        pictures[name] = tf.ensure_shape(scattered, [None, *shape])
    return pictures, tf.where(faults == "", OK, faults)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode_picture(encoded):
    """A picture as it is meant to be seen.

    A JPEG is turned to its EXIF orientation, and of a GIF only the first frame is decoded.

    Args:
        encoded: scalar string tensor; JPEG, PNG, GIF or BMP.
    Returns:
        uint8 [H, W, 3], RGB.
    Raises:
        tf.errors.InvalidArgumentError: the bytes are no picture.
    """
    kind = picture_format(encoded)
    one_frame = tf.cond(kind == "GIF", lambda: _first_frame(encoded), lambda: encoded)
    pixels = tf.io.decode_image(one_frame, channels=3, expand_animations=False)
    pixels.set_shape([None, None, 3])
    pixels = tf.cond(kind == "BMP", lambda: _bmp_colours(encoded, pixels), lambda: pixels)
    orientation = exif_orientation(encoded)
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    flipped = tf.reduce_any(orientation == [2, 3, 6, 7])
    pixels = tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)
    return tf.cond(flipped, lambda: pixels[:, ::-1], lambda: pixels)


def decode_image(encoded, image_size, resize="squash"):
    """The picture of `decode_picture` as the CNN takes it.

    Args:
        encoded: scalar string tensor or bytes.
        image_size: height and width S of the result in pixels.
        resize: `squash` or `crop`, see `config.Encoder`.
    Returns:
        uint8 [S, S, 3].
    """
    return _decoder(image_size, resize)(encoded)


@functools.cache
def _decoder(image_size, resize):
    """`decode_image` for one kind of encoder, as one graph; op by op takes twice the time."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        return fit(decode_picture(encoded), image_size, resize)

    return decode


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
        shorter_side = tf.cast(tf.reduce_min(shape), tf.float32)
        scale = image_size / CROP_SHARE / shorter_side
        resized = tf.cast(tf.math.ceil(tf.cast(shape, tf.float32) * scale), tf.int32)
    else:
        resized = tf.constant([image_size, image_size])
    # Only the visible part is computed, because the resized whole of a narrow strip would be very
    # large. Antialiasing matters, since most pictures are shrunk. A picture of the right size stays
    # as it is.
    visible = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=[image_size, image_size],
        scale=tf.cast(resized, tf.float32) / tf.cast(shape, tf.float32),
        translation=-tf.cast((resized - image_size) // 2, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(visible), 0, 255), tf.uint8)


def _first_frame(encoded):
    """A GIF with only its first frame, which fills the screen.

    TensorFlow would decode all frames before it takes the first.
    """
    file = FileBytes(encoded, -1)
    frame = gif_frame(file)
    data = frame + 11 + gif_palette_size(file.integer(frame + 9, 1))
    length = tf.minimum(file.after_blocks(data), file.size)
    # The four bytes that are replaced by zeros are the frame's position on the screen.
    before = tf.strings.substr(encoded, 0, tf.minimum(frame + 1, length))
    start = tf.minimum(frame + 5, length)
    after = tf.strings.substr(encoded, start, length - start)
    return tf.strings.join([before, bytes(4), after, ";"])


def _bmp_colours(encoded, pixels):
    """A BMP's pixels in colour: TensorFlow takes the indices into a palette for grey values."""
    file = FileBytes(encoded, 2048)
    palette = 14 + file.integer(14, 4, little_endian=True)
    # Each of the palette's colours has four bytes: blue, green, red, unused.
    places = palette + 4 * tf.range(256)[:, None] + [2, 1, 0]  # [256, 3]
    colours = tf.gather(file.values, tf.clip_by_value(places, 0, file.size))
    is_indexed = file.integer(28, 2, little_endian=True) == 8
    return tf.cond(
        is_indexed, lambda: tf.gather(colours, tf.cast(pixels[..., 0], tf.int32)), lambda: pixels
    )
