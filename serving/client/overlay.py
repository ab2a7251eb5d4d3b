"""Pictures of the attention. keras_sat draws them; the rest of the client does not need it."""

import io

import numpy as np
from PIL import Image, ImageOps


def write_overlay(path, image, answer):
    """Draws where the model looked for each word of a caption.

    Args:
        path: the PNG file to write.
        image: the picture's bytes.
        answer: its `AttentionAnswer`.

    Raises:
        ValueError: keras_sat cannot be imported.
    """
    attention_overlay, to_png = drawing()
    figure = attention_overlay(_pixels(image), answer.words, answer.attention, answer.boxes)
    path.write_bytes(to_png(figure, dpi=100))


def drawing():
    """Returns keras_sat's functions `attention_overlay` and `to_png`.

    Raises:
        ValueError: keras_sat cannot be imported; it says why.
    """
    try:
        from keras_sat.visualize.attention import attention_overlay, to_png
    except ImportError as error:
        raise ValueError(
            f"--overlay: draws with keras_sat, which does not import here: {error}"
        ) from error
    return attention_overlay, to_png


def _pixels(image):
    """Decodes a picture to uint8 [H, W, 3], turned upright as the captioner turns it."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(image)))
    return np.asarray(upright.convert("RGB"))
