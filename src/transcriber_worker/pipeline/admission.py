"""Admission: what jobs in flight may use together."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from transcriber_worker.domain.cancel import CancelToken

SMALL_SHARE = 0.01
"""Of the budget: whoever asks for no more may pass a larger one that waits."""
PASSING_SHARE = 0.1
"""Of the budget: what those who passed may hold together."""


@dataclass(slots=True, eq=False)
class Share:
    """What one job asks for or holds."""

    amount: float
    passed: bool = False
    """Whether it went ahead of one that had come before."""


class Ledger:
    """Who may have how much of a limit. Pure.

    Whoever fits goes on; whoever is over the whole limit by itself waits until it is alone. First come, first served,
    so that a large one is not starved by small ones; but as long as a large one waits for others like it, small ones
    that fit go past it. Once it waits only for those, no more do: it waits for what they are about to do, at most.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.held: list[Share] = []
        self.waiting: list[Share] = []
        """First come first."""

    @property
    def used(self) -> float:
        return sum(share.amount for share in self.held)

    def ask(self, amount: float) -> Share:
        """Wait from now on."""
        share = Share(amount)
        self.waiting.append(share)
        return share

    def admit(self, share: Share) -> bool:
        """Let the share, which waits, be held if its turn has come; returns whether it has."""
        first = self.waiting[0]
        share.passed = share is not first
        if not self._fits(share.amount, self.held) or (share.passed and not self._may_pass(share, first)):
            return False
        self.waiting.remove(share)
        self.held.append(share)
        return True

    def withdraw(self, share: Share) -> None:
        """It waits no more."""
        self.waiting.remove(share)

    def give_back(self, share: Share) -> None:
        """It is held no more."""
        self.held.remove(share)

    def _may_pass(self, share: Share, first: Share) -> bool:
        passed = sum(other.amount for other in self.held if other.passed)
        return (
            share.amount <= SMALL_SHARE * self._limit
            and passed + share.amount <= PASSING_SHARE * self._limit
            and not self._fits(first.amount, [other for other in self.held if not other.passed])
        )

    def _fits(self, amount: float, beside: list[Share]) -> bool:
        return not beside or sum(share.amount for share in beside) + amount <= self._limit


class Budget:
    """An amount that jobs share: bytes of scratch, seconds of audio. Given out as `Ledger` says."""

    def __init__(self, limit: float) -> None:
        self._ledger = Ledger(limit)
        self._changed = threading.Condition()

    @property
    def used(self) -> float:
        with self._changed:
            return self._ledger.used

    @property
    def holders(self) -> int:
        """How many hold a part of it."""
        with self._changed:
            return len(self._ledger.held)

    @property
    def waiting(self) -> int:
        """How many wait for a part of it."""
        with self._changed:
            return len(self._ledger.waiting)

    def acquire(self, amount: float, cancel: CancelToken) -> AbstractContextManager[None]:
        """Wait for `amount`; it is held until the returned block ends. Raises the cancel token's error."""
        cancel.on_cancel(self._wake)
        with self._changed:
            share = self._ledger.ask(amount)
            try:
                self._changed.wait_for(lambda: cancel.cancelled or self._ledger.admit(share))
            finally:
                if share in self._ledger.waiting:
                    self._ledger.withdraw(share)
                self._changed.notify_all()
            if share not in self._ledger.held:
                cancel.raise_if_cancelled()
        return self._held(share)

    @contextmanager
    def _held(self, share: Share) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._ledger.give_back(share)
                self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
