"""What the CNN and the captioner take, made from one encoded picture."""

import numpy as np

from keras_sat.pictures.boxes import cropped, pad_boxes
from keras_sat.pictures.decode import decode_image, decode_picture, fit
from keras_sat.pictures.proposals import propose
from keras_sat.utils.errors import UserError

# {captioner's input that the CNN makes: the picture it is made from}
PICTURES = {"features": "pixels", "region_features": "region_pixels"}
_MIN_CROP = 0.5  # of the picture's area
_MAX_STRETCH = 1.25  # the largest factor by which a crop changes the picture's aspect ratio


def shown_picture(encoded, encoder):
    """The picture on which boxes are to be drawn.

    That is the centre crop where the CNN sees the crop, and the whole picture otherwise.

    Args:
        encoded: scalar string tensor or bytes.
        encoder: the section `encoder` of the manifest.
    Returns:
        uint8 [H, W, 3], RGB.
    """
    if encoder["resize"] == "crop":
        return decode_image(encoded, encoder["image_size"], "crop").numpy()
    return decode_picture(encoded).numpy()


def picture_sizes(encoder, regions=None):
    """{name: height and width in pixels} of the pictures that the CNN sees.

    Args:
        encoder: the section `encoder` of the manifest.
        regions: the section `proposals` of the manifest.
    """
    sizes = {"pixels": encoder["image_size"]}
    if regions and regions["image_size"]:
        sizes["region_pixels"] = regions["image_size"]
    return sizes


def picture_inputs(encoded, names, encoder, regions=None, given=None):
    """What a captioner's inputs are made from, for one encoded picture.

    Args:
        encoded: scalar string tensor or bytes.
        names: of `pixels` (uint8 [S, S, 3]), `region_pixels` (uint8 [S', S', 3], the larger
            picture), `boxes` (float32 [most, 4], padded with zeros) and `scores` (float32 [m], of
            the boxes that are no padding).
        encoder: the section `encoder` of the manifest.
        regions: the section `proposals` of the manifest.
        given: (boxes, scores) of the whole picture from a file; otherwise boxes are searched for.
    Returns:
        {name: NumPy array}.
    Raises:
        tf.errors.InvalidArgumentError: the bytes are no picture.
        UserError: the boxes come from a file, and none are given.
    """
    sizes = picture_sizes(encoder, regions)
    # Boxes are searched for in the larger picture, where there is one.
    searched = "region_pixels" if "region_pixels" in sizes else "pixels"
    search = "boxes" in names and not given
    found = {}
    for name, size in sizes.items():
        if name in names or (search and name == searched):
            found[name] = decode_image(encoded, size, encoder["resize"]).numpy()
    if "boxes" in names:
        if given:
            boxes, scores = _given_boxes(encoded, encoder, *given)
        elif regions["method"] == "file":
            raise UserError(
                "its captioner was trained on boxes from a file and needs such boxes for this "
                "picture too"
            )
        else:
            boxes, scores = propose(found[searched], regions["method"], regions["most"])
        found["boxes"] = pad_boxes(boxes, regions["most"])
        found["scores"] = scores
    return {name: found[name] for name in names}


def _given_boxes(encoded, encoder, boxes, scores):
    """A whole picture's boxes and scores in fractions of what the CNN sees."""
    if encoder["resize"] != "crop":
        return boxes, scores
    height, width, _ = decode_picture(encoded).shape
    return cropped(boxes, scores, height, width)


def random_crop(encoded, encoder, seed):
    """A random crop of an encoded picture, in the size that the CNN takes.

    Args:
        encoded: bytes.
        encoder: the section `encoder` of the manifest.
        seed: of `numpy.random.default_rng`; equal seeds give equal crops.
    Returns:
        uint8 [S, S, 3].
    """
    rng = np.random.default_rng(seed)
    pixels = decode_picture(encoded).numpy()
    area = rng.uniform(_MIN_CROP, 1)
    stretch = _MAX_STRETCH ** rng.uniform(-1, 1)
    shape = np.array(pixels.shape[:2])
    shares = np.minimum(1, np.sqrt([area * stretch, area / stretch]))
    size = np.maximum(1, shares * shape).astype(int)
    top, left = rng.integers(0, shape - size, endpoint=True)
    crop = pixels[top : top + size[0], left : left + size[1]]
    return fit(crop, encoder["image_size"], encoder["resize"]).numpy()
