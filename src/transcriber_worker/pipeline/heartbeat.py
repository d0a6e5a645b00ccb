"""The heartbeat: renews every lease this worker holds, on messages and on job records."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import JobCancelled, LeaseLost

_SHORTEST_WAIT_S = 0.1


class Renewable(Protocol):
    """What keeps a job ours, beside the broker's lease: its claim."""

    def __call__(self) -> None:
        """Renew; raises `LeaseLost`, `JobCancelled`, `EnvironmentDown`."""
        ...


@dataclass(frozen=True, slots=True)
class _Pulse:
    delivery: Delivery
    cancel: CancelToken
    renew: Renewable | None


class Heartbeat:
    """Renews at a third of the shortest lease. A lease that is lost cancels its job; a store or broker that is down
    does not: the lease may outlive the outage, and every visible write proves the claim again.

    Messages and claims have a thread each: while one of broker and store does not answer, what the other keeps for us
    must not run out."""

    def __init__(
        self,
        interval_s: float,
        clock: Clock,
        on_renewed: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._on_renewed = on_renewed
        self._on_failure = on_failure
        self._pulses: dict[int, _Pulse] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(beat,), name=f"heartbeat-{name}", daemon=True)
            for name, beat in (("messages", self.extend_messages), ("claims", self.renew_claims))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=self._interval_s)

    @contextmanager
    def keeping(self, delivery: Delivery, cancel: CancelToken, renew: Renewable | None = None) -> Iterator[None]:
        """Keep the message, and with `renew` the claim, until the block ends."""
        pulse = _Pulse(delivery, cancel, renew)
        with self._lock:
            self._pulses[id(pulse)] = pulse
        try:
            yield
        finally:
            with self._lock:
                del self._pulses[id(pulse)]

    def extend_messages(self) -> None:
        """Keep every message for another lease of the broker's."""
        for pulse in self._alive():
            self._renew(pulse, pulse.delivery.extend)

    def renew_claims(self) -> None:
        """Renew every claim once."""
        for pulse in self._alive():
            if pulse.renew is not None:
                self._renew(pulse, pulse.renew)

    def _alive(self) -> Iterator[_Pulse]:
        with self._lock:
            pulses = list(self._pulses.values())
        for pulse in pulses:
            with self._lock:
                kept = id(pulse) in self._pulses  # its job may have ended while the others were renewed
            if kept and not pulse.cancel.cancelled:
                yield pulse

    def _renew(self, pulse: _Pulse, renew: Callable[[], None]) -> None:
        try:
            renew()
        except (LeaseLost, JobCancelled) as error:
            pulse.cancel.cancel(error)
        except Exception as error:  # an outage or a surprise must not end every job's heartbeat
            self._on_failure(error)
        else:
            self._on_renewed()

    def _run(self, beat: Callable[[], None]) -> None:
        wait_s = self._interval_s
        while not self._clock.wait(self._stop, wait_s):
            began = self._clock.monotonic()
            beat()
            # A beat that waited for a silent service must not put off the next one.
            wait_s = max(_SHORTEST_WAIT_S, self._interval_s - (self._clock.monotonic() - began))
