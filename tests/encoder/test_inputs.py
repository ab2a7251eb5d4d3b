import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_sat.encoder.inputs import picture_inputs, random_crop, shown_picture
from keras_sat.pictures.decode import decode_image
from keras_sat.utils.errors import UserError
from tests.support.rounding import assert_close


def test_inputs_of_one_picture():
    encoded = tf.io.encode_png(
        np.random.default_rng(2).integers(0, 256, [60, 80, 3]).astype(np.uint8)
    )
    encoder = {"image_size": 32, "resize": "crop"}
    regions = {"method": "edgeboxes", "most": 9, "image_size": 64}
    found = picture_inputs(
        encoded, ("pixels", "region_pixels", "boxes", "scores"), encoder, regions
    )
    for name, size in (("pixels", 32), ("region_pixels", 64)):
        np.testing.assert_array_equal(found[name], decode_image(encoded, size, "crop"))
    assert found["boxes"].shape == (9, 4) and np.count_nonzero(found["boxes"].any(axis=1)) == len(
        found["scores"]
    )
    np.testing.assert_array_equal(
        picture_inputs(encoded, ("boxes",), encoder, regions)["boxes"], found["boxes"]
    )
    given = np.float32([[0.5, 0.5, 1, 1]]), np.float32([1])
    moved = picture_inputs(encoded, ("boxes",), encoder, regions, given)["boxes"]
    np.testing.assert_array_equal(moved, [[0.5, 0.5, 1, 1]] + 8 * [[0] * 4])
    with pytest.raises(UserError, match="from a file"):
        picture_inputs(encoded, ("boxes",), encoder, regions | {"method": "file"})


def test_random_crops_vary_in_area_aspect_ratio_and_place():
    """Their area, aspect ratio and place, read from a picture whose colours are coordinates."""
    rows, columns = np.meshgrid(np.arange(160), np.arange(240), indexing="ij")
    file = io.BytesIO()
    Image.fromarray(np.stack([rows, columns, rows], axis=-1).astype(np.uint8)).save(file, "PNG")
    encoder = {"image_size": 64, "resize": "squash"}
    found = []
    for seed in range(300):
        crop = random_crop(file.getvalue(), encoder, [seed, 1])
        assert crop.shape == (64, 64, 3) and crop.dtype == np.uint8
        first = crop[0, 0].astype(float)[:2]
        last = crop[-1, -1].astype(float)[:2]
        found.append([*first / (160, 240), *(last - first) / (160, 240) * 64 / 63])
    top, left, height, width = np.transpose(found)
    area = height * width
    assert 0.45 < area.min() < 0.6 and 0.9 < area.max() < 1.05
    assert 0.75 < (height / width).min() < 0.85 and 1.18 < (height / width).max() < 1.33
    for start, length in ((top, height), (left, width)):
        free = start[length < 0.9] / (1 - length[length < 0.9])
        assert free.min() < 0.1 and free.max() > 0.85 and 0.4 < free.mean() < 0.6
    again = [random_crop(file.getvalue(), encoder, [7, n]) for n in (1, 1, 2)]
    assert np.array_equal(again[0], again[1]) and not np.array_equal(again[1], again[2])


def test_boxes_refer_to_the_picture_after_exif_orientation():
    """EXIF turns 256 × 512 pixels to 512 × 256.

    The crop shows y from 144 to 368 and x from 16 to 240.
    """
    file = io.BytesIO()
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (512, 256), "red").save(file, "JPEG", exif=tags)
    given = np.float32([[144 / 512, 16 / 256, 256 / 512, 128 / 256]]), np.float32([1])
    encoder = {"image_size": 32, "resize": "crop"}
    regions = {"method": "file", "most": 1, "image_size": None}
    found = picture_inputs(file.getvalue(), ("boxes",), encoder, regions, given)["boxes"]
    assert_close(found, [[0, 0, 0.5, 0.5]], roundings=8)
    assert shown_picture(file.getvalue(), encoder).shape == (32, 32, 3)
    assert shown_picture(file.getvalue(), {"resize": "squash"}).shape == (512, 256, 3)
