"""How often a request is tried: bounded in number and in time, unlike the SDK's own ten minutes."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from oci.exceptions import ServiceError

from transcriber_worker.domain.clock import Clock
from transcriber_worker.oci_access.faults import Fault, fault_of

FIRST_PAUSE_S = 0.4
LONGEST_PAUSE_S = 8.0
TOTAL_S = 20.0
LEASE_ATTEMPTS = 2
LEASE_TOTAL_S = 5.0
_PASSING_STATES = ("IncorrectState", "LockConflict", "ConcurrentObjectUpdate")
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BoundedRetries:
    """A retry strategy in the SDK's form. It waits by an injected clock, heeds `Retry-After`, and `stop` ends it.

    `attempts`: tries in all. `total_s`: no try begins later than this after the first. `passing_states`: codes of
    status 409 that are worth waiting for. The SDK sends the same body again, so it must be bytes, never a file.
    """

    clock: Clock
    stop: threading.Event
    attempts: int
    total_s: float = TOTAL_S
    passing_states: tuple[str, ...] = _PASSING_STATES

    def make_retrying_call(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the SDK calls: the answer, or the last exception."""
        began = self.clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return call(*args, **kwargs)
            except Exception as error:
                pause_s = _pause_s(attempt, error)
                late = self.clock.monotonic() + pause_s > began + self.total_s
                if late or attempt >= self.attempts or not self._passes(error):
                    raise
                if self.clock.wait(self.stop, pause_s):
                    raise

    def add_circuit_breaker_callback(self, callback: object) -> None:
        """The SDK tells every strategy; our clients have no circuit breaker."""

    def _passes(self, error: Exception) -> bool:
        fault = fault_of(error)
        if fault is Fault.CONFLICT:
            return isinstance(error, ServiceError) and error.code in self.passing_states
        return fault in (Fault.THROTTLED, Fault.DOWN)


def steady(clock: Clock, stop: threading.Event, attempts: int) -> BoundedRetries:
    """For reads, and for writes that may be sent twice."""
    return BoundedRetries(clock, stop, attempts)


def quick(clock: Clock, stop: threading.Event, attempts: int) -> BoundedRetries:
    """For what keeps a lease alive: an answer that comes late is as good as none, and no state is waited for."""
    return BoundedRetries(clock, stop, min(attempts, LEASE_ATTEMPTS), LEASE_TOTAL_S, ())


def _pause_s(attempt: int, error: Exception) -> float:
    longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1))
    # Half of it at least: whoever throttles or falls over must not be asked again at once.
    return max(longest_s * random.uniform(0.5, 1.0), _retry_after_s(error))  # noqa: S311 - no secret


def _retry_after_s(error: Exception) -> float:
    text = str(error.headers.get("retry-after", "")) if isinstance(error, ServiceError) else ""
    return float(text) if text.isascii() and text.isdigit() else 0.0
