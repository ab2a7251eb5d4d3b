"""Pictures of the attention. keras_sat.visualize draws them, and the rest works without it."""

import io

import numpy as np
from PIL import Image

from keras_sat.pictures.formats import to_rgb


def drawing(files):
    """A function that draws where the model looked for each word of a caption.

    Args:
        files: {name of a picture: the file to draw to, a Path}.

    Returns:
        A function of a picture's name, its bytes and its `AttentionAnswer`.

    Raises:
        ValueError: what draws cannot be imported; it says why.
    """
    try:
        from keras_sat.visualize.attention import attention_overlay, save_figure
    except ImportError as error:
        raise ValueError(
            f"--overlay: draws with keras_sat.visualize, which does not import here: {error}"
        ) from error

    def draw(name, image, answer):
        pixels = _pixels(image)
        figure = attention_overlay(pixels, answer.words, answer.attention, answer.boxes)
        save_figure(files[name], figure)

    return draw


def _pixels(image):
    """Decodes a picture to uint8 [H, W, 3], turned upright as the captioner turns it."""
    return np.asarray(to_rgb(Image.open(io.BytesIO(image))))
