"""Is the worker alive, is it ready: what it knows of itself. health_server.py tells it to whoever asks."""

import threading
from dataclasses import dataclass

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import PauseReason
from transcriber_worker.observability import events
from transcriber_worker.observability.labels import WorkerState
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.observability.redaction import REDACTOR

_WORKING_STATES = (WorkerState.RUNNING, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer to a probe: `body` says why."""

    ok: bool
    body: dict[str, object]


class HealthState:
    """What the worker knows of itself; keeps the metrics that say the same. Thread-safe."""

    def __init__(self, clock: Clock, stall_s: float, metrics: Metrics) -> None:
        self._clock = clock
        self._stall_s = stall_s
        self._metrics = metrics
        self._lock = threading.Lock()
        self._state = WorkerState.STARTING
        self._paused: tuple[PauseReason, str] | None = None
        self._jobs: dict[str, float] = {}
        self._moved_at = clock.monotonic()
        self._stalled = False
        metrics.oldest_job_age_seconds.set_function(self._oldest_job_age_s)
        self._show_state()

    @property
    def state(self) -> WorkerState:
        return self._state

    def enter(self, state: WorkerState) -> None:
        """The worker's state is now `state`. The time to stall begins anew: jobs need not have moved before."""
        with self._lock:
            if state is not self._state:
                self._state = state
                self._moved_at = self._clock.monotonic()
            self._show_state()

    def pause(self, reason: PauseReason, message: str) -> None:
        """The intake is closed because of `reason`; `message` is for a human and shown by /readyz."""
        self.enter(WorkerState.PAUSED)
        with self._lock:
            self._paused = reason, REDACTOR.text(message)
            self._metrics.intake_pauses.labels(reason=reason).inc()
            self._metrics.intake_paused.labels(reason=reason).set(1)

    def resume(self) -> None:
        """What the intake was closed for is well again."""
        self.enter(WorkerState.RUNNING)
        with self._lock:
            if self._paused is not None:
                self._metrics.intake_paused.labels(reason=self._paused[0]).set(0)
            self._paused = None

    def job_began(self, key: str) -> None:
        """A job is in flight; `key` names it until `job_ended`."""
        with self._lock:
            self._jobs[key] = self._clock.monotonic()
            self._show_progress()

    def job_ended(self, key: str) -> None:
        with self._lock:
            self._jobs.pop(key, None)
            self._show_progress()

    def progressed(self) -> None:
        """Some job moved: a stage ended, bytes came, a window was heard."""
        with self._lock:
            self._show_progress()

    def liveness(self) -> Verdict:
        """Not alive only where jobs are in flight and none has moved for `stall_s`; while loading, paused or idle
        nothing has to move."""
        with self._lock:
            idle_s = self._clock.monotonic() - self._moved_at
            jobs, state = len(self._jobs), self._state
            stalled = state in _WORKING_STATES and jobs > 0 and idle_s > self._stall_s
            newly_stalled, self._stalled = stalled and not self._stalled, stalled
        if newly_stalled:
            emit(events.HEALTH_STALLED, stalled_s=idle_s, jobs_in_flight=jobs)
        why = f"{jobs} jobs in flight and none has moved for {idle_s:.0f} s (limit {self._stall_s:.0f} s)"
        body: dict[str, object] = {"status": "stalled", "why": why} if stalled else {"status": "ok"}
        return Verdict(
            not stalled, body | {"state": state.value, "jobs_in_flight": jobs, "last_progress_s": round(idle_s, 1)}
        )

    def readiness(self) -> Verdict:
        """Ready only while running; the body says what is down."""
        with self._lock:
            state = self._state
            down = dict([self._paused]) if self._paused is not None else {}
        ready = state is WorkerState.RUNNING
        body: dict[str, object] = {"status": "ready" if ready else "not ready", "state": state.value}
        return Verdict(ready, body | ({"down": down} if down else {}))

    def _show_state(self) -> None:
        for state in WorkerState:
            self._metrics.worker_state.labels(state=state).set(state is self._state)

    def _show_progress(self) -> None:
        self._moved_at = self._clock.monotonic()
        self._metrics.last_progress_timestamp_seconds.set(self._clock.now())
        self._metrics.jobs_in_flight.set(len(self._jobs))

    def _oldest_job_age_s(self) -> float:
        with self._lock:
            return self._clock.monotonic() - min(self._jobs.values()) if self._jobs else 0.0
