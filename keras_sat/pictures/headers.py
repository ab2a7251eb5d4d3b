"""What a picture file says of itself, read from its first bytes by stock TensorFlow ops.

TensorFlow's decoders believe a file's header. `picture_fault` reads it before they do: a few kilobytes can
say 16,000 × 16,000 pixels, or hold a thousand frames.
"""

import tensorflow as tf

_READABLE = ["JPEG", "PNG", "GIF", "BMP"]
_FORMATS = f"{', '.join(_READABLE[:-1])} or {_READABLE[-1]}"
_MAGIC = (  # format, where in the file, bytes
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("BMP", 0, b"BM"),
    ("WebP", 8, b"WEBP"),
    *(("HEIC", 4, b"ftyp" + brand) for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    ("AVIF", 4, b"ftypavif"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
)
# The longest side that JPEG and GIF can say. Resizing a PNG, which can say more, takes memory by its width alone.
_MOST_SIDE = 65_535
# Parts that are each unpacked in full though they take few bytes, and how many are believed: a JPEG's scans (cameras write
# a dozen; the two bytes also occur by chance in films that phones append), a PNG's compressed texts.
_MOST_PARTS = (("JPEG", b"\xff\xda", 500), ("PNG", b"zTXt", 50), ("PNG", b"iTXt", 50))
_MOST_HEADER = 1 << 18  # bytes before a JPEG's or GIF's picture data that are searched
_MOST_SEGMENTS = 64  # there
_MOST_BLOCKS = 1 << 17  # of a GIF's frame: 33 MB where they are full


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False
)
def picture_fault(encoded, max_pixels):
    """Why a file is not to be decoded, as far as its header tells.

    Args:
        encoded: scalar string tensor, any bytes. max_pixels: int64 scalar, the most that are decoded.
    Returns:
        Scalar string tensor `reason: detail`, empty for a picture that may be decoded.
    Raises:
        tf.errors.InvalidArgumentError: a JPEG's header is damaged.
    """
    kind = picture_format(encoded)
    height, width = tf.unstack(
        tf.case(
            [
                (kind == "JPEG", lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)),
                (kind == "PNG", lambda: _png_size(FileBytes(encoded, 32))),
                (kind == "GIF", lambda: _gif_size(FileBytes(encoded, _MOST_HEADER))),
                (kind == "BMP", lambda: _bmp_size(FileBytes(encoded, 32))),
            ],
            default=lambda: tf.ones([2], tf.int64),
        )
    )
    many = [
        (kind == each) & (tf.size(tf.strings.split(encoded, marker)) > most)
        for each, marker, most in _MOST_PARTS
    ]
    said = tf.strings.join([tf.strings.as_string(height), "x", tf.strings.as_string(width)])
    limit, length = (
        tf.strings.as_string(max_pixels),
        tf.strings.as_string(tf.strings.length(encoded)),
    )
    faults = (  # the first that holds counts
        (encoded == "", "empty file: 0 bytes"),
        (kind == "", "not a picture: ", length, f" bytes that are no {_FORMATS}"),
        (tf.reduce_all(kind != _READABLE), "not supported: ", kind, f"; convert it to {_FORMATS}"),
        (tf.minimum(height, width) < 1, decoding_fault(kind)),
        (height * width > max_pixels, "too many pixels: ", said, ", max_pixels is ", limit),
        (
            tf.maximum(height, width) > _MOST_SIDE,
            "too many pixels: ",
            said,
            f", a side may have {_MOST_SIDE}",
        ),
        (tf.reduce_any(many), "too many parts: hundreds of scans or texts in a ", kind),
    )
    found = tf.constant("")
    for condition, *words in faults:
        found = tf.where((found == "") & condition, tf.strings.join(words), found)
    return found


def picture_format(encoded):
    """The format by the first bytes, "" where it is unknown; strings of any shape."""
    head = tf.strings.join([tf.strings.substr(encoded, 0, 16), bytes(16)])
    kind = tf.zeros_like(encoded)
    for name, start, magic in _MAGIC:
        kind = tf.where(tf.strings.substr(head, start, len(magic)) == magic, name, kind)
    return kind


def decoding_fault(kind):
    return tf.strings.join(["not decodable: a damaged, cut off or unusual ", kind])


def exif_orientation(encoded):
    """The orientation 1–8 in a JPEG's EXIF header, and 1 where there is none or it is damaged. Stock TensorFlow ops only.

    Reference: Exif 2.3 (CIPA DC-008-2012), sections 4.5–4.6.
    """
    file = FileBytes(encoded, _MOST_HEADER)

    def is_exif(position):
        return (file.number(position, 2) == 0xFFE1) & (file.number(position + 4, 3) == 0x457869)

    start = tf.while_loop(  # over the segments before the picture's data
        lambda position: (
            (file.number(position, 1) == 0xFF)
            & ~is_exif(position)
            & (file.number(position + 1, 1) != 0xDA)
        ),
        lambda position: [position + 2 + file.number(position + 2, 2)],
        [tf.where(file.number(0, 2) == 0xFFD8, 2, file.size)],
        maximum_iterations=_MOST_SEGMENTS,
    )[0]
    tiff = start + 10
    little = file.number(tiff, 1) == ord("I")
    directory = tiff + tf.clip_by_value(file.number(tiff + 4, 4, little), 0, file.size)
    count = tf.where(is_exif(start), tf.minimum(file.number(directory, 2, little), 512), 0)
    places = (
        directory
        + 2
        + 12 * tf.range(count)[:, None]
        + tf.where(little, [[0, 1, 8, 9]], [[1, 0, 9, 8]])
    )
    entries = tf.cast(
        tf.gather(file.values, tf.minimum(places, file.size)), tf.int32
    )  # [count, 4]: tag, value; low byte first
    found = tf.boolean_mask(
        entries[:, 2] + 256 * entries[:, 3], entries[:, 0] + 256 * entries[:, 1] == 0x0112
    )
    orientation = tf.reduce_sum(found[:1])
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


class FileBytes:
    """The first bytes of a file as numbers; what lies beyond the end reads as zero.

    Args:
        encoded: scalar string tensor. most: how many bytes.
    """

    def __init__(self, encoded, most):
        data = tf.io.decode_raw(tf.strings.substr(encoded, 0, most), tf.uint8)
        self.size = tf.size(data)
        self.values = tf.pad(data, [[0, 8]])

    def number(self, position, count, little=False):
        """The int32 of so many bytes."""
        part = tf.cast(self.values[tf.minimum(position, self.size) :][:count], tf.int32)
        powers = 256 ** tf.range(count)
        return tf.reduce_sum(part * tf.where(little, powers, powers[::-1]))

    def after(self, position):
        """Where a GIF's chain of sub-blocks, each led by its length, ends."""
        (end,) = tf.while_loop(
            lambda position: self.values[tf.minimum(position, self.size)] > 0,
            lambda position: [position + 1 + tf.cast(self.values[position], tf.int32)],
            [position],
            maximum_iterations=_MOST_BLOCKS,
        )
        return end + 1


def _png_size(file):
    size = tf.stack([file.number(20, 4), file.number(16, 4)])
    return tf.cast(
        tf.where(file.number(12, 4) == 0x49484452, size, 0), tf.int64
    )  # the first part must be IHDR


def _bmp_size(file):
    return tf.abs(tf.cast(tf.stack([file.number(22, 4, True), file.number(18, 4, True)]), tf.int64))


def _gif_size(file):
    frame = gif_frame(file)
    size = tf.stack([file.number(frame + 7, 2, True), file.number(frame + 5, 2, True)])
    return tf.cast(tf.where(file.number(frame, 1) == 0x2C, size, 0), tf.int64)


def gif_frame(file):
    """Where the first frame's descriptor stands. Reference: GIF89a, sections 18–24."""
    return tf.while_loop(
        lambda position: file.number(position, 1) == 0x21,
        lambda position: [file.after(position + 2)],
        [13 + gif_colours(file.number(10, 1))],
        maximum_iterations=_MOST_SEGMENTS,
    )[0]


def gif_colours(flags):
    """Bytes of the table of colours that such a byte of flags announces."""
    return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)
