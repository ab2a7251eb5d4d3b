"""An image as a prepared data set holds it. Knows nothing of TensorFlow."""

from dataclasses import dataclass

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption and the box of what it names. "Two dogs" are two of them, with the same span.

    caption: the caption's index; start, end: the span of its words (as keras_sat.text.vocabulary splits them), end exclusive;
    noun: its head; box: (ymin, xmin, ymax, xmax), normalised to 0–1.
    """

    caption: int
    start: int
    end: int
    noun: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """An image as it is stored.

    `features`: (values [h, w, D] uint8 or float16, minimum [h·w], scale [h·w]) or None; `region_features`: the same of a
    larger picture; `mirrored_features`: of the mirror image; `cropped_features`: of cut-outs, [crops, h, w, D] and
    [crops·h·w]. `proposals`: (boxes float32 [m, 4], scores float32 [m]) or None.
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
