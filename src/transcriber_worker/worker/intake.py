"""What waits inside the worker: messages that stay with it without a slot, and the pause while its environment is
down. Pure bookkeeping for the loop's one thread."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.pipeline.heartbeat import Heartbeat

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    delivery: Delivery
    cancel: CancelToken
    lease: ExitStack
    due: float
    alone: bool
    stranded: bool


class WaitingRoom:
    """Messages kept without a slot, their leases renewed: to be looked at again later, or to run alone."""

    def __init__(self, heartbeat: Heartbeat, clock: Clock) -> None:
        self._heartbeat = heartbeat
        self._clock = clock
        self._kept: list[_Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def deliveries(self) -> list[Delivery]:
        """What is kept."""
        return [kept.delivery for kept in list(self._kept)]

    @property
    def someone_must_run_alone(self) -> bool:
        self._forget_lost()
        return any(kept.alone for kept in self._kept)

    @property
    def someone_is_stranded(self) -> bool:
        """Whether a message waits here for the environment."""
        self._forget_lost()
        return any(kept.stranded for kept in self._kept)

    def keep(self, delivery: Delivery, delay_s: float = 0.0, *, alone: bool = False, stranded: bool = False) -> None:
        """Keep a message for at least `delay_s`. `stranded`: because the environment is down."""
        cancel, lease = CancelToken(), ExitStack()
        lease.enter_context(self._heartbeat.keeping(delivery, cancel))
        self._kept.append(_Kept(delivery, cancel, lease, self._clock.monotonic() + delay_s, alone, stranded))

    def take(self, *, alone: bool) -> Delivery | None:
        """The message that has waited longest past its time; with `alone`, of those that must run alone."""
        self._forget_lost()
        now = self._clock.monotonic()
        due = [kept for kept in self._kept if kept.alone == alone and kept.due <= now]
        if not due:
            return None
        first = min(due, key=lambda kept: kept.due)
        self._kept.remove(first)
        first.lease.close()
        return first.delivery

    def empty(self) -> Iterator[Delivery]:
        """Take everything, to hand it back."""
        while self._kept:
            kept = self._kept.pop()
            kept.lease.close()
            yield kept.delivery

    def _forget_lost(self) -> None:
        for kept in [kept for kept in self._kept if kept.cancel.cancelled]:
            self._kept.remove(kept)
            kept.lease.close()


class Pause:
    """The intake's pause: ever longer while the environment stays down, then one job at a time until one gets
    through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._length_s = _FIRST_PAUSE_S
        self._since: float | None = None
        self._until = 0.0

    @property
    def down_s(self) -> float | None:
        """How long the environment has been down; None while it is well."""
        return None if self._since is None else self._clock.monotonic() - self._since

    @property
    def remaining_s(self) -> float:
        """How long nothing may be tried."""
        return 0.0 if self._since is None else max(0.0, self._until - self._clock.monotonic())

    def begin(self) -> bool:
        """The environment is down; true where it was well until now."""
        now, first = self._clock.monotonic(), self._since is None
        if first:
            self._since, self._length_s = now, _FIRST_PAUSE_S
        elif now < self._until:
            return False  # a job that was on its way when the pause began
        self._until = now + self._length_s
        self._length_s = min(_LONGEST_PAUSE_S, self._length_s * 2)
        return first

    def end(self) -> float | None:
        """Something got through: the environment is well. Returns how long it was down, if it was."""
        down_s, self._since = self.down_s, None
        return down_s
