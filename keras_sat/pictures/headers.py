"""What a picture file says of itself, read from its first bytes with stock TensorFlow ops only.

TensorFlow's decoders believe a file's header. `picture_fault` reads the header before they do,
because a file of a few kilobytes can claim 16,000 × 16,000 pixels or hold a thousand frames.
"""

import tensorflow as tf

from keras_sat.pictures.formats import DECODED, EMPTY, MAGIC, UNDECODABLE, enumerated

_FORMATS = enumerated(DECODED)
# The longest side that a JPEG or GIF can have. A PNG can have a longer one, and resizing it takes
# memory in proportion to its width.
_MAX_SIDE = 65_535
# Parts that take few bytes but are each unpacked in full: (format, marker, how many are accepted).
# They are a JPEG's scans (cameras write a dozen; the marker also occurs by chance in films that
# phones append) and a PNG's compressed texts.
_MAX_PARTS = (("JPEG", b"\xff\xda", 500), ("PNG", b"zTXt", 50), ("PNG", b"iTXt", 50))
_MAX_HEADER = 1 << 18  # bytes that are searched for a JPEG's or GIF's picture data
_MAX_SEGMENTS = 64  # segments before the picture data
_MAX_BLOCKS = 1 << 17  # sub-blocks of a GIF's frame; full ones hold 33 MB


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False
)
def picture_fault(encoded, max_pixels):
    """Why a file must not be decoded, as far as its header tells.

    Args:
        encoded: scalar string tensor, any bytes.
        max_pixels: int64 scalar, the largest number of pixels that is decoded.
    Returns:
        Scalar string tensor `reason: detail`; empty if the picture may be decoded.
    Raises:
        tf.errors.InvalidArgumentError: a JPEG's header is damaged.
    """
    kind = picture_format(encoded)
    height, width = tf.unstack(_picture_size(encoded, kind))
    many_parts = []
    for name, marker, limit in _MAX_PARTS:
        parts = tf.size(tf.strings.split(encoded, marker))
        many_parts.append((kind == name) & (parts > limit))
    size = tf.strings.join([tf.strings.as_string(height), "x", tf.strings.as_string(width)])
    limit = tf.strings.as_string(max_pixels)
    length = tf.strings.as_string(tf.strings.length(encoded))
    # (condition, the parts of its message); the first condition that holds decides.
    faults = (
        (encoded == "", [EMPTY]),
        (kind == "", ["not a picture: ", length, f" bytes that are no {_FORMATS}"]),
        (
            tf.reduce_all(kind != DECODED),
            ["not supported: ", kind, f"; convert it to {_FORMATS}"],
        ),
        (tf.minimum(height, width) < 1, [decoding_fault(kind)]),
        (height * width > max_pixels, ["too many pixels: ", size, ", max_pixels is ", limit]),
        (
            tf.maximum(height, width) > _MAX_SIDE,
            ["too many pixels: ", size, f", a side may have {_MAX_SIDE}"],
        ),
        (
            tf.reduce_any(many_parts),
            ["too many parts: hundreds of scans or texts in a ", kind],
        ),
    )
    fault = tf.constant("")
    for condition, message in faults:
        fault = tf.where((fault == "") & condition, tf.strings.join(message), fault)
    return fault


def picture_format(encoded):
    """The format of files by their first bytes.

    Args:
        encoded: string tensor of any shape, any bytes.
    Returns:
        String tensor of the same shape: `JPEG`, `PNG`, …, or empty for an unknown format.
    """
    head = tf.strings.join([tf.strings.substr(encoded, 0, 16), bytes(16)])
    kind = tf.zeros_like(encoded)
    for name, offset, magic in MAGIC:
        kind = tf.where(tf.strings.substr(head, offset, len(magic)) == magic, name, kind)
    return kind


def decoding_fault(kind):
    """The fault of a picture whose header looks good but which does not decode.

    Args:
        kind: string tensor of `picture_format`.
    """
    return tf.strings.join([UNDECODABLE, kind])


class FileBytes:
    """The first bytes of a file as numbers. Whatever lies beyond the end reads as zero.

    Args:
        encoded: scalar string tensor.
        count: how many bytes to read; -1 for all.
    """

    def __init__(self, encoded, count):
        data = tf.io.decode_raw(tf.strings.substr(encoded, 0, count), tf.uint8)
        self.size = tf.size(data)
        self.values = tf.pad(data, [[0, 8]])

    def integer(self, position, count, little_endian=False):
        """The int32 in the `count` bytes at a position."""
        part = tf.cast(self.values[tf.minimum(position, self.size) :][:count], tf.int32)
        powers = 256 ** tf.range(count)
        return tf.reduce_sum(part * tf.where(little_endian, powers, powers[::-1]))

    def after_blocks(self, position):
        """The position behind a GIF's chain of sub-blocks, each of which begins with its length."""

        def block_follows(position):
            return self.values[tf.minimum(position, self.size)] > 0

        def next_block(position):
            return [position + 1 + tf.cast(self.values[position], tf.int32)]

        (end,) = tf.while_loop(
            block_follows, next_block, [position], maximum_iterations=_MAX_BLOCKS
        )
        return end + 1


# ---- the size of a picture


def _picture_size(encoded, kind):
    """Height and width [2], int64, as the header gives them; ones for a format that is not read."""
    return tf.case(
        [
            (kind == "JPEG", lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)),
            (kind == "PNG", lambda: _png_size(FileBytes(encoded, 32))),
            (kind == "GIF", lambda: _gif_size(FileBytes(encoded, _MAX_HEADER))),
            (kind == "BMP", lambda: _bmp_size(FileBytes(encoded, 32))),
        ],
        default=lambda: tf.ones([2], tf.int64),
    )


def _png_size(file):
    size = tf.stack([file.integer(20, 4), file.integer(16, 4)])
    begins_with_header = file.integer(12, 4) == 0x49484452  # the chunk IHDR
    return tf.cast(tf.where(begins_with_header, size, 0), tf.int64)


def _bmp_size(file):
    width = file.integer(18, 4, little_endian=True)
    height = file.integer(22, 4, little_endian=True)  # negative if rows go from top to bottom
    return tf.abs(tf.cast(tf.stack([height, width]), tf.int64))


def _gif_size(file):
    frame = gif_frame(file)
    height = file.integer(frame + 7, 2, little_endian=True)
    width = file.integer(frame + 5, 2, little_endian=True)
    is_frame = file.integer(frame, 1) == 0x2C
    return tf.cast(tf.where(is_frame, tf.stack([height, width]), 0), tf.int64)


def gif_frame(file):
    """The position of the first frame's descriptor in a GIF.

    Args:
        file: a `FileBytes`.
    Reference: GIF89a, sections 18–24.
    """

    def is_extension(position):
        return file.integer(position, 1) == 0x21

    def next_part(position):
        return [file.after_blocks(position + 2)]

    (frame,) = tf.while_loop(
        is_extension,
        next_part,
        [13 + gif_palette_size(file.integer(10, 1))],
        maximum_iterations=_MAX_SEGMENTS,
    )
    return frame


def gif_palette_size(flags):
    """The size in bytes of the palette that a GIF's byte of flags announces."""
    return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


# ---- EXIF


def exif_orientation(encoded):
    """The orientation, 1–8, in a JPEG's EXIF header; 1 if there is none or it is damaged.

    Args:
        encoded: scalar string tensor, any bytes.
    Returns:
        int32 scalar.
    Reference: Exif 2.3 (CIPA DC-008-2012), sections 4.5–4.6.
    """
    file = FileBytes(encoded, _MAX_HEADER)
    segment = _exif_segment(file)
    tiff = segment + 10
    little_endian = file.integer(tiff, 1) == ord("I")
    offset = file.integer(tiff + 4, 4, little_endian)
    directory = tiff + tf.clip_by_value(offset, 0, file.size)
    entries = tf.minimum(file.integer(directory, 2, little_endian), 512)
    entries = tf.where(_is_exif(file, segment), entries, 0)
    # Of each entry's 12 bytes, those of its tag and of its value, each with the low byte first.
    offsets = tf.where(little_endian, [[0, 1, 8, 9]], [[1, 0, 9, 8]])
    places = directory + 2 + 12 * tf.range(entries)[:, None] + offsets  # [entries, 4]
    parts = tf.cast(tf.gather(file.values, tf.minimum(places, file.size)), tf.int32)
    tags = parts[:, 0] + 256 * parts[:, 1]  # [entries]
    values = parts[:, 2] + 256 * parts[:, 3]
    found = tf.boolean_mask(values, tags == 0x0112)
    orientation = tf.reduce_sum(found[:1])
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def _exif_segment(file):
    """The position of a JPEG's EXIF segment, or wherever the search for it ends."""

    def is_other_segment(position):
        is_segment = file.integer(position, 1) == 0xFF
        is_picture_data = file.integer(position + 1, 1) == 0xDA
        return is_segment & ~_is_exif(file, position) & ~is_picture_data

    def next_segment(position):
        return [position + 2 + file.integer(position + 2, 2)]

    is_jpeg = file.integer(0, 2) == 0xFFD8
    (segment,) = tf.while_loop(
        is_other_segment,
        next_segment,
        [tf.where(is_jpeg, 2, file.size)],
        maximum_iterations=_MAX_SEGMENTS,
    )
    return segment


def _is_exif(file, position):
    is_application_segment = file.integer(position, 2) == 0xFFE1
    return is_application_segment & (file.integer(position + 4, 3) == 0x457869)  # "Exi"
