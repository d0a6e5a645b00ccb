"""Who may compute: permits for the processors, one kept for files that have had no window yet."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from transcriber_worker.domain.cancel import CancelToken

FIRST_IN_A_ROW = 8
"""With one permit for all: after so many first windows an older file that waits has its turn."""


class CpuPermits:
    """At most `total` holders. Files without a window yet may use all of them and go first; the others leave one free
    where there is more than one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._for_later = max(1, total - 1)
        self._condition = threading.Condition()
        self._held_first = 0
        self._held_later = 0
        self._first: deque[object] = deque()
        self._later: deque[object] = deque()
        self._first_in_a_row = 0

    @contextmanager
    def hold(self, cancel: CancelToken, *, first: bool) -> Iterator[None]:
        """Hold a permit; raises the token's error where it is cancelled while waiting (see `look_again`)."""
        self._acquire(cancel, first=first)
        try:
            yield
        finally:
            with self._condition:
                if first:
                    self._held_first -= 1
                else:
                    self._held_later -= 1
                self._condition.notify_all()

    @property
    def waiting(self) -> int:
        """How many wait for a permit now."""
        with self._condition:
            return len(self._first) + len(self._later)

    def look_again(self) -> None:
        """Let whoever waits see that it is cancelled."""
        with self._condition:
            self._condition.notify_all()

    def _acquire(self, cancel: CancelToken, *, first: bool) -> None:
        ticket = object()
        queue = self._first if first else self._later
        with self._condition:
            queue.append(ticket)
            try:
                self._condition.wait_for(lambda: cancel.cancelled or self._may_go(ticket, first=first))
                cancel.raise_if_cancelled()
                self._take(first=first)
            finally:
                queue.remove(ticket)
                self._condition.notify_all()

    def _take(self, *, first: bool) -> None:
        if first:
            self._held_first += 1
            self._first_in_a_row += 1
        else:
            self._held_later += 1
            self._first_in_a_row = 0

    def _may_go(self, ticket: object, *, first: bool) -> bool:
        if self._held_first + self._held_later >= self._total:
            return False
        if first:
            return self._first[0] is ticket and not self._later_has_its_turn()
        room = self._held_later < self._for_later
        return self._later[0] is ticket and room and (not self._first or self._later_has_its_turn())

    def _later_has_its_turn(self) -> bool:
        waits = bool(self._later) and self._held_later < self._for_later
        return waits and self._first_in_a_row >= FIRST_IN_A_ROW
