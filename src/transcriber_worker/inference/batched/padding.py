"""Which lengths go together: a batch is padded to its longest row, and padding costs as much as speech. Pure."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

_FILLED = 0.75
"""Least part of a batch that is audio of its rows and not padding."""


@dataclass(frozen=True, slots=True)
class Band:
    """Lengths in frames that may share a batch, whichever of them do."""

    shortest: int
    longest: int

    def __contains__(self, frames: int) -> bool:
        return self.shortest <= frames <= self.longest


def band_around(frames: int, waiting: Mapping[int, int], most: Callable[[int], int]) -> Band:
    """The band around a row of `frames` in which the most rows share a batch, and of several such the one padded least.

    `waiting`: how many rows might join, by their frames, this one included; `most(frames)`: rows of a batch padded so
    far.
    """
    lengths = sorted(waiting)
    shorter = [0, *accumulate(waiting[length] for length in lengths)]
    """How many rows are shorter than `lengths[i]`."""
    best, best_rows = Band(frames, frames), 0
    for index in range(bisect_left(lengths, frames), len(lengths)):
        band = Band(math.ceil(lengths[index] * _FILLED), lengths[index])
        if band.shortest > frames:
            break
        rows = min(shorter[index + 1] - shorter[bisect_left(lengths, band.shortest)], most(band.longest))
        if rows > best_rows:
            best, best_rows = band, rows
    return best


class Padding:
    """What is padded to what, as a batch grows by rows shorter than its longest."""

    def __init__(self, frames: Sequence[int]) -> None:
        self._longest = max(frames)
        self._filled = sum(frames)
        self._rows = len(frames)

    def admits(self, frames: int) -> bool:
        """Take in a shorter row, unless too much of the batch would be padding then."""
        if self._filled + frames < _FILLED * self._longest * (self._rows + 1):
            return False
        self._filled += frames
        self._rows += 1
        return True
