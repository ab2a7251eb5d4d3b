"""What the encoder and the captioner take, made from encoded pictures."""

import numpy as np

from keras_sat.pictures.boxes import cropped, pad_boxes
from keras_sat.pictures.decode import decode_image, decode_picture, fit
from keras_sat.pictures.proposals import propose
from keras_sat.utils.errors import UserError

# A captioner's inputs that the CNN makes, and what it makes them of.
PICTURES = {"features": "pixels", "region_features": "region_pixels"}
_LEAST_CROP = 0.5  # of the picture's area
_STRETCH = 1.25  # the most by which the ratio of its sides is changed


def shown_picture(encoded, encoder):
    """The picture on which boxes are to be drawn: as a whole where the CNN saw it squashed, else the crop that it saw.

    Args:
        encoded: scalar string tensor or bytes. encoder: the manifest's section.
    Returns:
        uint8 [H, W, 3], RGB.
    """
    if encoder["resize"] == "crop":
        return decode_image(encoded, encoder["image_size"], "crop").numpy()
    return decode_picture(encoded).numpy()


def picture_sizes(encoder, regions=None):
    """{name: height and width in pixels} of what the CNN sees of a picture; arguments as those of `picture_inputs`."""
    larger = {"region_pixels": regions["image_size"]} if regions and regions["image_size"] else {}
    return {"pixels": encoder["image_size"], **larger}


def picture_inputs(encoded, names, encoder, regions=None, given=None):
    """One encoded picture as what a captioner's inputs are made of.

    Args:
        encoded: scalar string tensor or bytes.
        names: of `pixels` (uint8 [S, S, 3]), `region_pixels` (uint8 [S', S', 3], the larger picture), `boxes` (float32
            [most, 4], padded with zeros) and `scores` (float32 [m], of the boxes that are no padding).
        encoder, regions: the sections `encoder` and `proposals` of the manifest.
        given: (boxes, scores) of the whole picture from a file, in place of those that would be sought.
    Returns:
        {name: NumPy array}.
    Raises:
        tf.errors.InvalidArgumentError: where the bytes are no picture. UserError: no boxes given where none are sought.
    """
    sizes = picture_sizes(encoder, regions)
    shown = list(sizes)[
        -1
    ]  # the larger picture, where there is one, is the one on which boxes are sought
    wanted = {name for name in sizes if name in names} | (
        {shown} if "boxes" in names and not given else set()
    )
    found = {name: decode_image(encoded, sizes[name], encoder["resize"]).numpy() for name in wanted}
    if "boxes" in names:
        if given:
            boxes, scores = given
            if encoder["resize"] == "crop":
                height, width, _ = decode_picture(encoded).shape
                boxes, scores = cropped(boxes, scores, height, width)
        elif regions["method"] == "file":
            raise UserError(
                "its captioner was trained on boxes from a file and needs such boxes for this picture too"
            )
        else:
            boxes, scores = propose(found[shown], regions["method"], regions["most"])
        found |= {"boxes": pad_boxes(boxes, regions["most"]), "scores": scores}
    return {name: found[name] for name in names}


def random_crop(encoded, encoder, seed):
    """A random cut-out of an encoded picture, as the CNN takes a picture: uint8 [S, S, 3]. Equal seeds, equal places.

    Args:
        encoded: bytes. encoder: as in `picture_inputs`. seed: of `numpy.random.default_rng`.
    """
    draw, pixels = np.random.default_rng(seed), decode_picture(encoded).numpy()
    area, stretch = draw.uniform(_LEAST_CROP, 1), _STRETCH ** draw.uniform(-1, 1)
    shape = np.array(pixels.shape[:2])
    size = np.maximum(1, np.minimum(1, np.sqrt([area * stretch, area / stretch])) * shape).astype(
        int
    )
    top, left = draw.integers(0, shape - size, endpoint=True)
    cut = pixels[top : top + size[0], left : left + size[1]]
    return fit(cut, encoder["image_size"], encoder["resize"]).numpy()
