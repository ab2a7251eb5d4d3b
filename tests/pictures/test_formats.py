import io
import sys

import numpy as np
import pytest
from PIL import Image

from keras_sat.pictures import formats
from keras_sat.pictures.decode import decode_picture
from keras_sat.pictures.formats import decodable, format_of, to_png
from keras_sat.utils.errors import UserError
from tests.support.odd_pictures import TAKEN, encoded

LOSSLESS = {
    "colour.webp": encoded("RGB", "WEBP", lossless=True),
    "alpha.webp": encoded("RGBA", "WEBP", lossless=True, exact=True),
    "grey.tif": encoded("L", "TIFF"),
    "colour.tif": encoded("RGB", "TIFF", compression="tiff_lzw"),
    "palette.tif": encoded("P", "TIFF"),
    "cmyk.tif": encoded("CMYK", "TIFF"),
    "big.tif": encoded("RGB", "TIFF", big_tiff=True),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_graph_decodes_stays_as_it_is(name):
    assert decodable(TAKEN[name]) is TAKEN[name]


@pytest.mark.parametrize("name", LOSSLESS)
def test_other_formats_become_pngs_of_the_same_pixels(name):
    found = decodable(LOSSLESS[name])
    assert format_of(found) == "PNG"
    image = Image.open(io.BytesIO(LOSSLESS[name]))
    expected = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    np.testing.assert_array_equal(decode_picture(found), np.asarray(expected)[..., :3])


def test_avif_is_read():
    found = (
        decode_picture(decodable(encoded("RGB", "AVIF", quality=95, subsampling="4:4:4")))
        .numpy()
        .astype(int)
    )
    expected = decode_picture(TAKEN["colour.bmp"]).numpy().astype(int)
    assert found.shape == expected.shape and np.abs(found - expected).mean() < 4


def test_heic_is_read_where_pillow_heif_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    heic = encoded("RGB", "HEIF", quality=95, chroma=444)
    assert format_of(heic) == "HEIC"
    found = decode_picture(decodable(heic)).numpy().astype(int)
    expected = decode_picture(TAKEN["colour.bmp"]).numpy().astype(int)
    assert found.shape == expected.shape and np.abs(found - expected).mean() < 4


def test_heic_without_pillow_heif_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"HEIC.*keras_sat\[heic\]"):
        decodable(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("format", ["WEBP", "TIFF", "AVIF"])
def test_exif_turns_them_as_it_turns_jpegs(format, orientation):
    image = Image.open(io.BytesIO(TAKEN["colours.png"])).convert("RGB").crop((0, 0, 40, 24))
    lossless = {"AVIF": {"subsampling": "4:4:4"}, "JPEG": {"subsampling": 0}}
    options = lossless.get(format, {"lossless": True} if format == "WEBP" else {})
    found = decode_picture(decodable(turned_file(image, format, orientation, **options)))
    expected = decode_picture(turned_file(image, "JPEG", orientation, **lossless["JPEG"]))
    assert found.shape == expected.shape
    assert np.abs(found.numpy().astype(int) - expected.numpy()).mean() < 4


def turned_file(image, format, orientation, **options):
    """The bytes of a picture that EXIF turns."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, format, exif=tags, quality=95, **options)
    return file.getvalue()


def test_sixteen_bits_are_cut_to_eight_as_the_graph_cuts_them():
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    files = {}
    for name in ("TIFF", "PNG"):
        file = io.BytesIO()
        Image.fromarray(values).save(file, name)
        files[name] = decode_picture(decodable(file.getvalue())).numpy()
    np.testing.assert_array_equal(files["TIFF"], files["PNG"])
    np.testing.assert_array_equal(files["TIFF"][..., 0], values >> 8)


def test_of_an_animation_the_first_frame_is_taken():
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(decode_picture(decodable(file.getvalue()))[0, 0], [255, 0, 0])


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty file: 0 bytes"),
        (b"this is text", "not a picture: 12 bytes that are no JPEG, PNG, GIF, BMP, WebP"),
        (LOSSLESS["colour.webp"][:-40], "not decodable: a damaged, cut off or unusual WebP"),
        (LOSSLESS["colour.tif"][:300], "not decodable: a damaged, cut off or unusual TIFF"),
        (encoded("RGB", "AVIF")[:200], "not decodable: a damaged, cut off or unusual AVIF"),
        (b"II*\0", "not decodable: a damaged, cut off or unusual TIFF"),
        (encoded("F", "TIFF"), "not supported: floating-point pixels"),
    ],
)
def test_each_fault_has_its_own_reason(content, reason):
    with pytest.raises(UserError) as caught:
        decodable(content)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize("format", ["WEBP", "TIFF"])
def test_too_many_pixels_are_not_decoded(format, monkeypatch):
    content = encoded("RGB", format)
    height, width, _ = decode_picture(TAKEN["colour.bmp"]).shape
    assert decodable(content, max_pixels=height * width)
    monkeypatch.setattr(formats, "to_png", None)  # it would fail
    with pytest.raises(UserError, match=f"too many pixels: {height}x{width}, max_pixels is"):
        decodable(content, max_pixels=height * width - 1)


def test_damaged_files_are_refused_or_read_and_never_crash():
    random = np.random.default_rng(0)
    for content in LOSSLESS.values():
        for _ in range(20):
            data = bytearray(content)
            for place in random.integers(0, min(len(data), 200), 3):
                data[place] = random.integers(256)
            try:
                assert format_of(decodable(bytes(data[: random.integers(len(data))])))
            except UserError as error:
                assert ": " in str(error)


def test_pictures_that_pillow_has_turned_are_not_turned_again():
    image = Image.open(io.BytesIO(TAKEN["colours.png"])).convert("RGB").crop((0, 0, 40, 24))
    file = turned_file(image, "TIFF", 6)
    assert Image.open(io.BytesIO(file)).getexif()[0x0112] == 6
    loaded = Image.open(io.BytesIO(file))
    loaded.load()
    for opened in (Image.open(io.BytesIO(file)), loaded):
        found = Image.open(io.BytesIO(to_png(opened)))
        np.testing.assert_array_equal(found, np.rot90(image, -1))
