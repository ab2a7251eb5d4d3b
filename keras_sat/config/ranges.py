"""Ranges of numeric settings, declared in the types of their fields.

A plain `int` or `float` may be any number that is not negative.
"""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`; `number in range` tells whether one is allowed.

    Args:
        low: the least number.
        high: the greatest number.
        open_low: whether `low` itself is refused.
        open_high: whether `high` itself is refused.
    """

    low: float = 0
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number):
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below and number != math.inf  # above and below are false for NaN


NOT_NEGATIVE = Range()

PositiveInt = Annotated[int, Range(low=1)]
PositiveFloat = Annotated[float, Range(open_low=True)]
Fraction = Annotated[float, Range(high=1)]
FractionAboveZero = Annotated[float, Range(high=1, open_low=True)]
FractionBelowOne = Annotated[float, Range(high=1, open_high=True)]
