"""An image as a prepared data set holds it. Free of TensorFlow."""

from dataclasses import dataclass

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption and the box of what it names.

    "Two dogs" are two phrases with the same span.

    Attributes:
        caption: the caption's index.
        start: the first word of the span, where words are split as keras_sat.text.vocabulary does.
        end: the word behind the span.
        noun: the phrase's head.
        box: (ymin, xmin, ymax, xmax), fractions of the picture.
    """

    caption: int
    start: int
    end: int
    noun: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """An image with its captions and all that is stored with it.

    A feature map is (values [h, w, D] uint8 or float16, minimum [h·w], scale [h·w]), where float16
    has neither minimum nor scale (see `keras_sat.data.quantisation`), or None.

    Attributes:
        source_id: the image's id in its corpus.
        captions: all captions, as text.
        encoded: the encoded picture; empty if it is not kept.
        height: of the picture in pixels.
        width: of the picture in pixels.
        phrases: noun phrases with their boxes, where the corpus has them.
        features: the feature map of the picture.
        region_features: the feature map of a larger version of the picture.
        mirrored_features: the feature map of the horizontally flipped picture.
        cropped_features: the feature maps of random crops: [crops, h, w, D] and [crops·h·w].
        proposals: (boxes float32 [m, 4], scores float32 [m]) or None.
    """

    source_id: str
    captions: tuple[str, ...]
    encoded: bytes = b""
    height: int = 0
    width: int = 0
    phrases: tuple[Phrase, ...] = ()
    features: tuple | None = None
    region_features: tuple | None = None
    mirrored_features: tuple | None = None
    cropped_features: tuple | None = None
    proposals: tuple | None = None
