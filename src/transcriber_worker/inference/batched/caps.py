"""How many rows a batch may have: by memory, which is found out as it runs out, and by the time it is expected to
take. Pure: the time is told, and whoever shares one among threads locks it."""

from collections.abc import Callable

from transcriber_worker.inference.batched.rows import Recipe

_PROOF = 4
"""Full batches that must go well before a cap is raised by one row."""
_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 3600.0
_NEWEST = 0.25
"""Weight of the last batch in what is expected of the next one."""


class Cap:
    """Rows a batch may have now.

    `most`: never more. `row_bytes(frames)`: memory one row needs in work; `budget_bytes`: what one batch may take.

    Out of memory halves the cap. It grows back one row at a time, each after a few full batches that went well; the
    size that failed is only tried again after a wait, which doubles each time that it fails again: memory taken by
    somebody else may be free later, but one that is never free is not worth a lost batch every minute.
    """

    def __init__(
        self, most: int, *, row_bytes: Callable[[int], int] | None = None, budget_bytes: int | None = None
    ) -> None:
        self._most = max(1, most)
        self._now = self._most
        self._row_bytes = row_bytes
        self._budget_bytes = budget_bytes
        self._went_well = 0
        """Full batches since the cap last changed."""
        self._failed_at: int | None = None
        """The least number of rows known not to fit."""
        self._wait_s = _FIRST_WAIT_S
        self._try_again_at = 0.0

    @property
    def current(self) -> int:
        """Rows a batch may have now, however short they are."""
        return self._now

    def rows(self, frames: int) -> int:
        """Rows a batch may have now that is padded to `frames`; at least 1."""
        if self._row_bytes is None or self._budget_bytes is None:
            return self._now
        return max(1, min(self._now, self._budget_bytes // max(1, self._row_bytes(frames))))

    def out_of_memory(self, rows: int, now: float) -> None:
        """A batch of `rows` did not fit. `now`: monotonic seconds."""
        if rows > self._now:
            return  # begun before the cap was halved: nothing new
        if self._failed_at is not None and rows >= self._failed_at:
            self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
        self._failed_at = rows
        self._try_again_at = now + self._wait_s
        self._now = max(1, rows // 2)
        self._went_well = 0

    def went_well(self, rows: int, now: float) -> None:
        """A batch of `rows` fitted. `now`: monotonic seconds."""
        if rows < self._now:
            return  # says nothing of a full one
        self._went_well += 1
        if self._went_well < _PROOF:
            return
        if self._failed_at is not None and self._now >= self._failed_at:
            self._failed_at, self._wait_s = None, _FIRST_WAIT_S
        if self._now < self._most and (self._failed_at != self._now + 1 or now >= self._try_again_at):
            self._now += 1
            self._went_well = 0


class Pace:
    """How long batches take, learned from those that were decoded, and how many rows that leaves for the next one.

    `max_batch_s`: longest that a batch should take. Seconds are taken to be in proportion to rows times frames, which
    overrates a large batch by what was learned from small ones: the next one is larger then, and teaches better.
    """

    def __init__(self, max_batch_s: float) -> None:
        self._max_batch_s = max_batch_s
        self._frame_s: dict[tuple[bool, bool], float] = {}

    def rows(self, recipe: Recipe, frames: int) -> int | None:
        """Most rows, padded to `frames`, that are expected to be done in time, at least 1. None: not known yet."""
        frame_s = self._frame_s.get(_kind(recipe), max(self._frame_s.values(), default=0.0))
        if frame_s <= 0:
            return None
        return max(1, int(self._max_batch_s / (frame_s * frames)))

    def took(self, recipe: Recipe, rows: int, frames: int, seconds: float) -> None:
        """A batch of `rows`, padded to `frames`, took so long."""
        frame_s = seconds / (rows * frames)
        known_s = self._frame_s.get(_kind(recipe), frame_s)
        self._frame_s[_kind(recipe)] = known_s + _NEWEST * (frame_s - known_s)


def _kind(recipe: Recipe) -> tuple[bool, bool]:
    """What makes a difference to the time: timestamps are tokens of their own, and sampling goes another way."""
    return recipe.timestamps, recipe.temperature > 0
