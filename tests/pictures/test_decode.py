import io
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_sat.pictures.decode import decode_image, decode_picture, decode_pictures, fit
from keras_sat.pictures.headers import exif_orientation
from tests.support.corpora import picture
from tests.support.odd_pictures import (
    ODD,
    TAKEN,
    encoded,
    huge_png,
    many_frames,
    many_scans,
    turned,
)

GRADIENT = np.arange(64 * 96 * 3, dtype=np.uint32).reshape(64, 96, 3).astype(np.uint8)
MAX_PIXELS = 4_000_000
UNDECODABLE = "not decodable: a damaged, cut off or unusual "
REFUSED = [
    (b"", "empty file: 0 bytes"),
    (b"this is text", "not a picture: 12 bytes that are no JPEG, PNG, GIF or BMP"),
    (encoded("RGB", "WEBP"), "not supported: WebP; convert it to JPEG, PNG, GIF or BMP"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not supported: HEIC; "),
    (encoded("RGB", "TIFF"), "not supported: TIFF; "),
    *((TAKEN[name][:-300], UNDECODABLE) for name in ("colour.jpg", "colour.bmp")),
    *((TAKEN[name][:60], UNDECODABLE) for name in ("cmyk.jpg", "grey.png", "colours.gif")),
    *(
        (magic, "not decodable: ")
        for magic in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM")
    ),
    (encoded("1", "BMP"), "not decodable: a damaged, cut off or unusual BMP"),
    (huge_png(16_000, 16_000), "too many pixels: 16000x16000, max_pixels is 4000000"),
    (huge_png(2, 1_000_000), "too many pixels: 2x1000000, a side may have 65535"),
    (huge_png(9, 9, texts=51), "too many parts: hundreds of scans or texts in a PNG"),
    (many_frames(2001, 1), "too many pixels: 2001x2001"),
    (many_scans(9, 501), "too many parts: hundreds of scans or texts in a JPEG"),
]


def batch_function(sizes, resize="squash"):
    return tf.function(
        lambda encoded: decode_pictures(encoded, sizes, resize, MAX_PIXELS),
        [tf.TensorSpec([None], tf.string)],
    )


SMALL = batch_function({"pixels": 32})


@pytest.mark.parametrize("name", TAKEN)
def test_pictures_are_decoded_as_they_are_meant(name):
    """As Pillow decodes them.

    EXIF orientation is applied, CMYK converted, 16 bits cut to 8, and an animation's first frame
    taken.
    """
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(TAKEN[name])))
    if name == "sixteen.png":
        expected = np.repeat((np.asarray(image) >> 8)[..., None], 3, axis=-1)
    else:
        expected = np.asarray(image.convert("RGBA" if name.startswith("alpha") else "RGB"))[..., :3]
    found = decode_picture(TAKEN[name]).numpy().astype(int)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.mean() < 3 if name.endswith("jpg") else difference.max() == 0


def test_damaged_exif_is_no_orientation():
    """Any byte of the header may be wrong, and the file may end anywhere in it.

    The picture is then taken as it is, or turned, or refused.
    """
    file = turned(103, 6)
    orientation = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])
    random = np.random.default_rng(0)
    assert orientation(file).numpy() == 6 and orientation(b"").numpy() == 1
    for _ in range(300):
        data = bytearray(file)
        data[random.integers(2, 60)] = random.integers(256)
        assert 1 <= orientation(bytes(data)).numpy() <= 8
        assert 1 <= orientation(bytes(data[: random.integers(60)])).numpy() <= 8


def test_turned_pictures_become_the_same_input():
    found = decode_image(ODD["turned6.jpg"], 32).numpy().astype(int)
    upright = decode_image(picture(103, quality=95), 32).numpy().astype(int)
    assert np.abs(found - np.rot90(upright, -1)).mean() < 3


def test_the_first_frame_is_one_picture_whatever_follows():
    gif = ODD["animated.gif"]
    first = Image.open(io.BytesIO(gif)).convert("RGB")
    start = gif.index(b"\x2c\0\0\0\0")
    later_frame_cut_off = gif[:-40]
    at_another_place = gif[: start + 1] + b"\x09\0\x09\0" + gif[start + 5 :]
    after_a_comment = gif[:start] + b"\x21\xfe\x03abc\x02de\0" + gif[start:]
    for file in (later_frame_cut_off, at_another_place, after_a_comment):
        np.testing.assert_array_equal(decode_picture(file), first)


def test_a_picture_of_the_right_size_is_not_touched():
    square = GRADIENT[:, :64]
    png = tf.io.encode_png(square)
    np.testing.assert_array_equal(decode_image(png, 64), square)


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("height, width", [(64, 96), (301, 77), (20, 21), (50, 224)])
def test_resizing_is_that_of_tensorflow(resize, height, width):
    random = np.random.default_rng(height)
    pixels = random.integers(0, 256, [height, width, 3]).astype(np.uint8)
    size = [48, 48]
    if resize == "crop":
        size = [
            int(np.ceil(side * np.float32(48 * 256 / 224 / min(height, width))))
            for side in (height, width)
        ]
    whole = tf.image.resize_with_crop_or_pad(tf.image.resize(pixels, size, antialias=True), 48, 48)
    assert np.abs(fit(pixels, 48, resize).numpy() - whole).max() < 0.501


def test_crop_takes_the_centre():
    pixels = np.zeros([256, 512, 3], np.uint8)
    pixels[:, 128:384] = 255  # the middle, which is all that the crop may show
    cropped = fit(pixels, 224, "crop").numpy()
    assert cropped.shape == (224, 224, 3) and cropped.min() == 255
    assert fit(pixels, 224, "squash").numpy()[:, 0].max() == 0


def test_what_is_no_picture_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(b"text", 32)


# ---- batches


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_a_batch_is_its_pictures(resize):
    pixels, status = batch_function({"pixels": 32, "region_pixels": 48}, resize)(
        list(TAKEN.values())
    )
    assert set(status.numpy()) == {b"OK"}
    for name, size in (("pixels", 32), ("region_pixels", 48)):
        assert pixels[name].shape == (len(TAKEN), size, size, 3)
        for found, file in zip(pixels[name], TAKEN.values()):
            np.testing.assert_array_equal(found, decode_image(file, size, resize))


def test_broken_pictures_are_named_and_change_no_other():
    sound = [list(TAKEN.values())[n % len(TAKEN)] for n in range(len(REFUSED))]
    expected = SMALL(sound + sound)[0]["pixels"]
    mixed = []
    for file, (broken, _) in zip(sound, REFUSED):
        mixed += [file, broken]
    pixels, status = SMALL(mixed)
    np.testing.assert_array_equal(pixels["pixels"][::2], expected[: len(sound)])
    assert not np.any(pixels["pixels"][1::2])
    assert set(status[::2].numpy()) == {b"OK"}
    for (_, start), found in zip(REFUSED, status[1::2].numpy()):
        assert found.decode().startswith(start) and "\n" not in found.decode()


def test_batches_of_none_and_of_broken_ones_only():
    pixels, status = SMALL(tf.constant([], tf.string))
    assert pixels["pixels"].shape == (0, 32, 32, 3) and status.shape == (0,)
    pixels, status = SMALL([b"text", TAKEN["colour.jpg"][:99]])
    assert not np.any(pixels["pixels"]) and b"OK" not in status.numpy()


def peak_megabytes():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) >> 10


def test_small_files_of_huge_pictures_take_no_memory():
    """Decompressed, each of them has hundreds of megabytes."""
    bombs = [
        huge_png(16_000, 16_000),
        huge_png(1, 1_000_000),
        many_frames(1900, 200),
        huge_png(4, 60_000),
    ]
    crop = batch_function({"pixels": 224}, "crop")
    crop([TAKEN["grey.png"]])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_megabytes()
    _, status = crop(bombs)  # resized as a whole, the last had 256 × 3,840,000 pixels
    assert [text.decode().partition(":")[0] for text in status.numpy()] == 2 * [
        "too many pixels"
    ] + 2 * ["OK"]
    assert peak_megabytes() - before < 300


def test_no_mutation_stops_a_batch():
    random = np.random.default_rng(1)
    files = list(TAKEN.values())
    kinds = set()
    for _ in range(40):
        mutated = [mutate(files[random.integers(len(files))], random) for _ in range(60)]
        pixels, status = SMALL([*mutated, TAKEN["colour.jpg"]])
        np.testing.assert_array_equal(pixels["pixels"][-1], decode_image(TAKEN["colour.jpg"], 32))
        kinds |= {text.decode().partition(":")[0] for text in status.numpy()}
    assert kinds >= {"OK", "not decodable", "not a picture", "too many pixels"}


def mutate(file, random):
    data = bytearray(file)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(min(len(data), random.choice([64, len(data)])) or 1))
        some = random.integers(0, 256, random.integers(1, 5)).astype(np.uint8).tobytes()
        data[place : place + int(random.integers(5))] = random.choice(
            [some, b"\xff" * 4, b"\0" * 4]
        )
        if random.integers(8) == 0:
            del data[place:]
    return bytes(data)
