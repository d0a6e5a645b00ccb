"""Where decoded audio belongs on the file's own timeline. Pure."""

import math
from dataclasses import dataclass

JITTER_S = 0.1
"""Timestamps off by less than this are rounding, not gaps."""
MAX_OVERLAP_S = 1.0
"""Timestamps going back by more than this start a new count (a chained or concatenated file), not an overlap."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where one decoded frame goes."""

    start_s: float
    """Its place on the timeline; before the end of what is placed already where it overlaps."""
    continues: bool
    """It follows what came before without a seam."""
    gap_s: float = 0.0
    """Nothing was decoded for this long before it."""


class Placer:
    """Turns timestamps, which may be missing or lies, into a timeline that only grows.

    A gap is believed up to `last_s`, where the file says it ends, and up to `max_gaps_s` in all; what goes beyond is
    taken as a broken clock and joined without a gap.
    """

    def __init__(self, last_s: float | None, max_gaps_s: float) -> None:
        self.end_s = 0.0
        self.gaps_s = 0.0
        self.broken_clock = 0
        """How often timestamps jumped where the audio can't have."""
        self._last_s = math.inf if last_s is None else last_s
        self._max_gaps_s = max_gaps_s
        self._shift_s = 0.0
        self._begun = False

    def begin_at(self, start_s: float) -> None:
        """Let the timeline's first frame be expected at `start_s`, where reading begins in the middle of a file."""
        self.end_s = start_s

    def place(self, timestamp_s: float | None, duration_s: float) -> Placed:
        """Place a frame of `duration_s` whose own timestamp is `timestamp_s` (None or not finite: it has none)."""
        expected_s = self.end_s
        continues = self._begun
        self._begun = True
        if timestamp_s is None or not math.isfinite(timestamp_s):
            return self._join(expected_s, duration_s, continues=continues)
        start_s = timestamp_s + self._shift_s
        off_s = start_s - expected_s
        if abs(off_s) <= JITTER_S:
            return self._join(expected_s, duration_s, continues=continues)
        believed = self._believes_gap(start_s, off_s) if off_s > 0 else -off_s <= MAX_OVERLAP_S
        if not believed:
            self.broken_clock += 1
            self._shift_s -= off_s
            return self._join(expected_s, duration_s, continues=continues)
        gap_s = max(0.0, off_s)
        self.gaps_s += gap_s
        self.end_s = max(expected_s, start_s + duration_s)
        return Placed(start_s, continues=False, gap_s=gap_s)

    def _believes_gap(self, start_s: float, gap_s: float) -> bool:
        return start_s <= self._last_s and self.gaps_s + gap_s <= self._max_gaps_s

    def _join(self, start_s: float, duration_s: float, *, continues: bool) -> Placed:
        self.end_s = start_s + duration_s
        return Placed(start_s, continues=continues)
