"""The heartbeat: one thread renews every lease this worker holds, on records and on broker messages."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import JobCancelled, LeaseLost


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
    does not: the lease may outlive the outage, and every visible write proves the claim again."""

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
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._interval_s)

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

    def beat(self) -> None:
        """Renew everything once."""
        with self._lock:
            pulses = list(self._pulses.values())
        for pulse in pulses:
            if not pulse.cancel.cancelled:
                self._renew(pulse)

    def _renew(self, pulse: _Pulse) -> None:
        try:
            pulse.delivery.extend()
            if pulse.renew is not None:
                pulse.renew()
        except (LeaseLost, JobCancelled) as error:
            pulse.cancel.cancel(error)
        except Exception as error:  # an outage or a surprise must not end every job's heartbeat
            self._on_failure(error)
        else:
            self._on_renewed()

    def _run(self) -> None:
        while not self._clock.wait(self._stop, self._interval_s):
            self.beat()
