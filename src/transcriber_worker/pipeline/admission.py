"""Admission: what jobs in flight may use together."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from transcriber_worker.domain.cancel import CancelToken


class Budget:
    """An amount that jobs share: bytes of scratch, seconds of audio.

    Whoever fits goes on; whoever is over the whole budget by itself waits until it is alone. First come, first served,
    so that a large job is not starved by small ones.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._used = 0.0
        self.holders = 0
        """How many hold a part of it."""
        self.waiting: list[object] = []
        """Who waits, first come first."""
        self._changed = threading.Condition()

    @property
    def used(self) -> float:
        return self._used

    def acquire(self, amount: float, cancel: CancelToken) -> AbstractContextManager[None]:
        """Wait for `amount`; it is held until the returned block ends. Raises the cancel token's error."""
        ticket = object()
        cancel.on_cancel(self._wake)
        with self._changed:
            self.waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: cancel.cancelled or (self.waiting[0] is ticket and self._fits(amount)))
                cancel.raise_if_cancelled()
                self._used += amount
                self.holders += 1
            finally:
                self.waiting.remove(ticket)
                self._changed.notify_all()
        return self._held(amount)

    @contextmanager
    def _held(self, amount: float) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._used -= amount
                self.holders -= 1
                self._changed.notify_all()

    def _fits(self, amount: float) -> bool:
        return self.holders == 0 or self._used + amount <= self._limit

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
