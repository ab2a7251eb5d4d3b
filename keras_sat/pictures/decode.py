"""Picture bytes → pixels, by stock TensorFlow ops alone, so that preparation, captioning and the served graph are one.

TensorFlow's decoders believe what a file says of itself. `picture_fault` reads its header first: a few kilobytes can say
16,000 × 16,000 pixels, or hold a thousand frames.
"""

import functools

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
OK = "OK"


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
    kind = _kind(encoded)
    height, width = tf.unstack(
        tf.case(
            [
                (kind == "JPEG", lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)),
                (kind == "PNG", lambda: _png_size(_Bytes(encoded, 32))),
                (kind == "GIF", lambda: _gif_size(_Bytes(encoded, _MOST_HEADER))),
                (kind == "BMP", lambda: _bmp_size(_Bytes(encoded, 32))),
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
        (tf.minimum(height, width) < 1, _undecodable(kind)),
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
    undecodable = tf.pad(_undecodable(_kind(encoded)), [[0, 1]])
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
    kind = _kind(encoded)
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
        scale = image_size * 256 / 224 / tf.cast(tf.reduce_min(shape), tf.float32)
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


def exif_orientation(encoded):
    """The orientation 1–8 in a JPEG's EXIF header, and 1 where there is none or it is damaged. Stock TensorFlow ops only.

    Reference: Exif 2.3 (CIPA DC-008-2012), sections 4.5–4.6.
    """
    file = _Bytes(encoded, _MOST_HEADER)

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


def _kind(encoded):
    """The format by the first bytes, "" where it is unknown; strings of any shape."""
    head = tf.strings.join([tf.strings.substr(encoded, 0, 16), bytes(16)])
    kind = tf.zeros_like(encoded)
    for name, start, magic in _MAGIC:
        kind = tf.where(tf.strings.substr(head, start, len(magic)) == magic, name, kind)
    return kind


def _undecodable(kind):
    return tf.strings.join(["not decodable: a damaged, cut off or unusual ", kind])


class _Bytes:
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


# Heights and widths [2], int64, as the header says them.


def _png_size(file):
    size = tf.stack([file.number(20, 4), file.number(16, 4)])
    return tf.cast(
        tf.where(file.number(12, 4) == 0x49484452, size, 0), tf.int64
    )  # the first part must be IHDR


def _bmp_size(file):
    return tf.abs(tf.cast(tf.stack([file.number(22, 4, True), file.number(18, 4, True)]), tf.int64))


def _gif_size(file):
    frame = _gif_frame(file)
    size = tf.stack([file.number(frame + 7, 2, True), file.number(frame + 5, 2, True)])
    return tf.cast(tf.where(file.number(frame, 1) == 0x2C, size, 0), tf.int64)


def _gif_frame(file):
    """Where the first frame's descriptor stands. Reference: GIF89a, sections 18–24."""
    return tf.while_loop(
        lambda position: file.number(position, 1) == 0x21,
        lambda position: [file.after(position + 2)],
        [13 + _gif_colours(file.number(10, 1))],
        maximum_iterations=_MOST_SEGMENTS,
    )[0]


def _gif_colours(flags):
    """Bytes of the table of colours that such a byte of flags announces."""
    return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _first_frame(encoded):
    """A GIF with its first frame alone, which fills the screen: TensorFlow unpacks all of them before it takes the first."""
    file = _Bytes(encoded, -1)
    frame = _gif_frame(file)
    data = frame + 11 + _gif_colours(file.number(frame + 9, 1))
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
    file = _Bytes(encoded, 2048)
    table = (
        14 + file.number(14, 4, True) + 4 * tf.range(256)[:, None] + [2, 1, 0]
    )  # blue, green, red, nothing
    colours = tf.gather(file.values, tf.clip_by_value(table, 0, file.size))  # [256, 3]
    indexed = file.number(28, 2, True) == 8
    return tf.cond(
        indexed, lambda: tf.gather(colours, tf.cast(pixels[..., 0], tf.int32)), lambda: pixels
    )


def mirrored_boxes(boxes):
    """Boxes [..., 4] (ymin, xmin, ymax, xmax, each 0 to 1) in the mirror image; padding, which has no width, stays zero."""
    top, left, bottom, right = tf.unstack(boxes, axis=-1)
    return tf.where(
        (right > left)[..., None], tf.stack([top, 1 - right, bottom, 1 - left], axis=-1), boxes
    )
