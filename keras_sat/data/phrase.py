from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption and the box of what it names. "Two dogs" are two of them, with the same span.

    caption: the caption's index; start, end: the span of its words (as keras_sat.text.tokeniser splits them), end exclusive;
    noun: its head; box: (ymin, xmin, ymax, xmax), normalised to 0–1.
    """

    caption: int
    start: int
    end: int
    noun: str
    box: tuple[float, float, float, float]
