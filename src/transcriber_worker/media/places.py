"""Who may have a reader: places for files of any length, and one beyond them that long files can't keep."""

import bisect
import itertools
import threading
from dataclasses import dataclass
from enum import Enum

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import RetryJob

STOPPING = "The worker is stopping."


class Place(Enum):
    """Where a file is read."""

    USUAL = "usual"
    RESERVED = "reserved"
    """Only for as long as it may be a short one."""


@dataclass(slots=True, eq=False)
class Turn:
    """One file's turn."""

    number: int
    """First come, first served."""
    long: bool = False
    place: Place | None = None


class Seating:
    """So many places for any file, and one for short files. Pure.

    Whether a file is short shows only once it is open, so every file may open in the reserved place; a long one has to
    leave it again. So a short file waits for other short ones at most, however many long ones there are.
    """

    def __init__(self, usual: int) -> None:
        self._usual_left = usual
        self._reserved_left = 1
        self._numbers = itertools.count()
        self.waiting: list[Turn] = []
        """In the order of their numbers."""

    def arrive(self) -> Turn:
        """A file's turn, which it keeps wherever it is moved."""
        return Turn(next(self._numbers))

    def wait(self, turn: Turn) -> None:
        """It wants a place from now on."""
        bisect.insort(self.waiting, turn, key=lambda waiting: waiting.number)

    def admit(self, turn: Turn) -> bool:
        """Give a place to `turn`, which waits, if it is the next one for it; returns whether it is."""
        if self._usual_left and self.waiting[0] is turn:
            self._usual_left -= 1
            turn.place = Place.USUAL
        elif self._reserved_left and next((other for other in self.waiting if not other.long), None) is turn:
            self._reserved_left -= 1
            turn.place = Place.RESERVED
        else:
            return False
        self.waiting.remove(turn)
        return True

    def withdraw(self, turn: Turn) -> None:
        """It waits no more."""
        self.waiting.remove(turn)

    def keep(self, turn: Turn) -> bool:
        """The file in the reserved place is long: it may stay only where a usual place is free and nobody waits for
        that one longer."""
        turn.long = True
        if not self._usual_left or (self.waiting and self.waiting[0].number < turn.number):
            return False
        self._usual_left -= 1
        self.leave(turn)
        turn.place = Place.USUAL
        return True

    def leave(self, turn: Turn) -> None:
        """Its place, if it has one, is free."""
        if turn.place is Place.USUAL:
            self._usual_left += 1
        elif turn.place is Place.RESERVED:
            self._reserved_left += 1
        turn.place = None


class Places:
    """A `Seating` that threads wait at."""

    def __init__(self, usual: int) -> None:
        self._seating = Seating(usual)
        self._closed = False
        self._changed = threading.Condition()

    def arrive(self) -> Turn:
        """A file's turn, which it keeps wherever it is moved."""
        with self._changed:
            return self._seating.arrive()

    def take(self, turn: Turn, cancel: CancelToken) -> None:
        """Wait for a place. Raises the token's error where it is cancelled meanwhile (see `look_again`), `RetryJob`
        after `close`."""
        with self._changed:
            self._seating.wait(turn)
            try:
                self._changed.wait_for(lambda: cancel.cancelled or self._closed or self._seating.admit(turn))
            finally:
                if turn.place is None:
                    self._seating.withdraw(turn)
                self._changed.notify_all()
            if turn.place is None:
                cancel.raise_if_cancelled()
                raise RetryJob(STOPPING)

    def keep(self, turn: Turn) -> bool:
        """Whether the file in the reserved place, which is long, may go on there as if it were a usual one."""
        with self._changed:
            kept = self._seating.keep(turn)
            self._changed.notify_all()
            return kept

    def leave(self, turn: Turn) -> None:
        """Give the place, if there is one, to the next."""
        with self._changed:
            self._seating.leave(turn)
            self._changed.notify_all()

    def look_again(self) -> None:
        """Let whoever waits see that it is cancelled."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody gets a place any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def waiting(self) -> tuple[Turn, ...]:
        """Who waits for a place now, first come first."""
        with self._changed:
            return tuple(self._seating.waiting)
