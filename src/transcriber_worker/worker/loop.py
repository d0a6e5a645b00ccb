"""The worker's life: take messages while there are slots, see every attempt to its end, pause, drain, stop.

The loop's own thread decides; each attempt runs on a thread of its own; nothing else shares state with them."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from transcriber_worker.brokers.base import Broker, Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, HandBack, PauseReason, WorkerBroken
from transcriber_worker.observability import events
from transcriber_worker.observability.health import HealthState
from transcriber_worker.observability.labels import Ending, WorkerState
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.attempt import Attempts
from transcriber_worker.pipeline.heartbeat import Heartbeat
from transcriber_worker.pipeline.outcome import Outcome, Stopwatch
from transcriber_worker.settings import WorkerSettings
from transcriber_worker.worker.intake import Pause, WaitingRoom
from transcriber_worker.worker.report import Report
from transcriber_worker.worker.signals import StopRequest

_TURN_S = 1.0
"""Longest wait of one turn of the loop, so that signals and due messages are seen."""
HAND_BACK_S = 30.0
"""How long jobs told to hand back may take, and part of every pod's grace."""


@dataclass(slots=True)
class _Running:
    delivery: Delivery
    outcome: Outcome
    alone: bool
    cancel: CancelToken = field(default_factory=CancelToken)


class Worker:
    """One worker. `run` is called once; it calls `after_job` each time that one has ended, whatever became of it."""

    def __init__(
        self,
        broker: Broker,
        attempts: Attempts,
        heartbeat: Heartbeat,
        health: HealthState,
        metrics: Metrics,
        report: Report,
        settings: WorkerSettings,
        clock: Clock,
        *,
        slots: int,
        exit_when_idle: bool,
        after_job: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._attempts = attempts
        self._heartbeat = heartbeat
        self._health = health
        self._metrics = metrics
        self._report = report
        self._settings = settings
        self._clock = clock
        self._slots = slots
        self._exit_when_idle = exit_when_idle
        self._after_job = after_job
        self._running: dict[int, _Running] = {}
        self._ended: queue.SimpleQueue[tuple[int, WorkerBroken | None]] = queue.SimpleQueue()
        self._waiting = WaitingRoom(heartbeat, clock)
        self._pause = Pause(clock)
        self._never = threading.Event()
        self._draining = False
        self._down: PauseReason | None = None
        """What the intake is, or last was, paused for. Only a download shows that there is room on scratch again."""
        self._probe_fresh = False
        """While the environment is down: try a new message next, not the one that failed."""
        self._started = 0
        metrics.deferred_deliveries.set_function(lambda: len(self._waiting))
        metrics.unfinished_jobs.set_function(lambda: len(self._running) + len(self._waiting))
        metrics.oldest_message_age_seconds.set_function(self._oldest_message_age_s)
        metrics.windows_waiting.set_function(self._windows_waiting)
        self._idle_since = 0.0

    def run(self, stop: StopRequest) -> None:
        """Work until told to stop, or with `exit_when_idle` until nothing is left to do; returns drained. Raises
        `WorkerBroken`, with nothing settled."""
        begun = self._idle_since = self._clock.monotonic()
        self._heartbeat.start()
        self._health.enter(WorkerState.RUNNING)
        emit(events.WORKER_READY, max_jobs_in_flight=self._slots)
        while not stop.requested and not self._idle_for_good():
            self._turn()
        self._drain(stop)
        self._heartbeat.stop()
        self._health.enter(WorkerState.STOPPED)
        emit(
            events.WORKER_STOPPED, uptime_s=round(self._clock.monotonic() - begun, 1), jobs_in_flight=len(self._running)
        )

    def _turn(self) -> None:
        """See to what has ended, then begin what may begin."""
        self._see_to_ended(wait_s=0.0)
        room = self._room()
        if room == 0 and not self._running:
            self._clock.wait(self._never, min(_TURN_S, self._pause.remaining_s))
        elif room == 0:
            self._see_to_ended(wait_s=_TURN_S)
        elif not self._begin_waiting():
            self._receive(room)

    def _room(self) -> int:
        """How many more jobs may begin now."""
        if self._pause.remaining_s > 0 or any(running.alone for running in self._running.values()):
            return 0
        if self._pause.down_s is not None:
            return 0 if self._running else 1
        if self._waiting.someone_must_run_alone:
            return 0 if self._running else 1
        return max(0, self._slots - len(self._running))

    def _begin_waiting(self) -> bool:
        if self._pause.down_s is not None and not self._probe_fresh:
            self._probe_fresh = True
        elif self._pause.down_s is not None:
            self._probe_fresh = False  # one message's own trouble must not be the only thing that is tried
            return False
        alone = self._waiting.someone_must_run_alone
        delivery = self._waiting.take(alone=alone)
        if delivery is None:
            return alone
        self._begin(delivery, alone=alone)
        return True

    def _receive(self, room: int) -> None:
        kept_at_most = 4 * self._slots
        wait_s = _TURN_S if not self._waiting else min(_TURN_S, self._settings.look_again_s)
        if len(self._waiting) >= kept_at_most:
            self._see_to_ended(wait_s=wait_s)
            return
        try:
            deliveries = self._broker.receive(room, wait_s)
        except EnvironmentDown as error:
            self._environment_down(error.part, str(error))
            return
        if not deliveries and not self._running and not self._waiting.someone_is_stranded:
            self._environment_up()  # with nothing to do, nothing else will ever show it
        for delivery in deliveries:
            self._metrics.jobs_received.inc()
            self._begin(delivery, alone=False)

    def _begin(self, delivery: Delivery, *, alone: bool) -> None:
        self._started += 1
        number = self._started
        running = _Running(delivery, Outcome(Stopwatch(self._clock)), alone)
        self._running[number] = running
        self._health.job_began(str(number))
        threading.Thread(target=self._attend, args=(number, running), name=f"job-{number}", daemon=True).start()

    def _attend(self, number: int, running: _Running) -> None:
        broken: WorkerBroken | None = None
        try:
            self._attempts.attend(running.delivery, running.cancel, running.outcome, alone=running.alone)
        except WorkerBroken as error:
            broken = error
        except Exception as error:  # a bug outside every bound: the message comes again
            emit(events.UNEXPECTED_ERROR, error=type(error).__name__, exc_info=error)
        self._ended.put((number, broken))

    def _see_to_ended(self, wait_s: float) -> None:
        """Take what has ended, waiting up to `wait_s` for the first."""
        while True:
            try:
                number, broken = self._ended.get(timeout=wait_s) if wait_s > 0 else self._ended.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            self._health.job_ended(str(number))
            running = self._running.pop(number)
            self._after_job()
            if broken is not None:
                raise broken
            self._see_to(running)

    def _see_to(self, running: _Running) -> None:
        self._idle_since = self._clock.monotonic()
        self._report.ended(running.outcome, running.delivery)
        ending = running.outcome.ending
        if ending is Ending.ENVIRONMENT_DOWN:
            self._environment_down(running.outcome.down or PauseReason.STORAGE, running.outcome.message)
            self._waiting.keep(running.delivery, stranded=True)
        elif ending is Ending.HELD_ELSEWHERE and len(self._waiting) < self._slots:
            self._waiting.keep(running.delivery, self._settings.look_again_s)
        elif ending is Ending.HELD_ELSEWHERE:
            # Many messages for few jobs must not close the intake to the others.
            self._give_back(running.delivery, self._settings.look_again_s)
        elif ending is Ending.MUST_RUN_ALONE:
            self._waiting.keep(running.delivery, alone=True)
        elif ending is None:
            # A bug outside every bound. Not every broker takes a message back by itself.
            self._give_back(running.delivery, self._settings.look_again_s)
        elif self._down is not PauseReason.SCRATCH or running.outcome.findings.source_bytes > 0:
            self._environment_up()

    def _environment_down(self, reason: PauseReason, message: str) -> None:
        if self._pause.begin() and not self._draining:
            self._down = reason
            self._health.pause(reason, message)
            emit(events.WORKER_PAUSED, reason=reason, message=message)

    def _environment_up(self) -> None:
        down_s = self._pause.end()
        if down_s is None or self._draining:
            return
        self._idle_since = self._clock.monotonic()
        self._health.resume()
        emit(events.WORKER_RESUMED, paused_s=round(down_s, 1))

    def _idle_for_good(self) -> bool:
        if not self._exit_when_idle or self._running or self._waiting or self._pause.down_s is not None:
            return False
        return self._clock.monotonic() - self._idle_since >= self._settings.exit_when_idle_s

    def _drain(self, stop: StopRequest) -> None:
        """No new work. Hand back at once what waits, and what can't fit as soon as that can be told; finish the rest
        within the grace; then hand back what is left."""
        self._draining = True
        self._health.enter(WorkerState.DRAINING)
        grace_s = self._settings.drain_s
        emit(events.WORKER_DRAINING, signal=stop.signal, jobs_in_flight=len(self._running), grace_s=grace_s)
        for delivery in self._waiting.empty():
            self._give_back(delivery)
        deadline = self._clock.monotonic() + grace_s
        undecided = set(self._running)
        while self._running and (left_s := deadline - self._clock.monotonic()) > 0 and not stop.urgent:
            undecided = {one for one in undecided & self._running.keys() if not self._decided(one, left_s)}
            self._see_to_ended(min(_TURN_S, left_s))
        for running in self._running.values():
            running.cancel.cancel(HandBack())
        deadline = self._clock.monotonic() + HAND_BACK_S
        while self._running and self._clock.monotonic() < deadline:
            self._see_to_ended(_TURN_S)
        for delivery in self._waiting.empty():
            self._give_back(delivery)

    def _decided(self, running: int, left_s: float) -> bool:
        """Whether a job can tell by now if it fits what is left of the grace; it is told to hand back if it doesn't."""
        job = self._running[running]
        remaining_s = job.outcome.progress.now.remaining_s if job.outcome.progress else None
        if remaining_s is not None and remaining_s > left_s:
            job.cancel.cancel(HandBack())
        return remaining_s is not None

    def _oldest_message_age_s(self) -> float:
        held = [running.delivery for running in list(self._running.values())] + self._waiting.deliveries
        published = [delivery.message.published_at for delivery in held]
        oldest = min((at for at in published if at is not None), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock.now() - oldest)

    def _windows_waiting(self) -> int:
        return sum(running.outcome.findings.windows_waiting for running in list(self._running.values()))

    def _give_back(self, delivery: Delivery, delay_s: float = 0.0) -> None:
        try:
            delivery.give_back(delay_s)
        except EnvironmentDown as error:
            emit(events.ENVIRONMENT_DOWN, reason=error.part, message=str(error), stage="give_back")
