"""A worker's loop over a real spool, whose attempts end as a test says."""

import threading
from collections.abc import Callable
from typing import cast

from prometheus_client import CollectorRegistry

from tests.workbench import Workbench
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import PauseReason
from transcriber_worker.observability.health import HealthState
from transcriber_worker.observability.labels import Ending
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.attempt import Attempts
from transcriber_worker.pipeline.outcome import Outcome
from transcriber_worker.pipeline.progress import JobProgress
from transcriber_worker.worker.loop import Worker
from transcriber_worker.worker.report import Report
from transcriber_worker.worker.signals import StopRequest

DEADLINE_S = 30.0
Attend = Callable[[Delivery, CancelToken, bool], Ending]


class ScriptedAttempts:
    """Stands for the pipeline: each attempt ends as the test's `script` says, given the message's text."""

    def __init__(self, script: Attend) -> None:
        self._script = script
        self._lock = threading.Lock()
        self.now = 0
        self.most_at_once = 0
        self.attended: list[tuple[str, bool]] = []
        self.down: PauseReason | None = None
        """What is down where the script says that something is."""
        self.progress: JobProgress | None = None
        """How far every attempt says it is."""

    def attend(self, delivery: Delivery, cancel: CancelToken, outcome: Outcome, *, alone: bool) -> None:
        with self._lock:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            self.attended.append((delivery.message.body.decode(), alone))
        outcome.progress = self.progress
        try:
            outcome.ending, outcome.down = self._script(delivery, cancel, alone), self.down
            if outcome.ending is Ending.COMPLETED:
                outcome.findings.source_bytes = 1
        finally:
            with self._lock:
                self.now -= 1


def settle(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
    delivery.settle()
    return Ending.COMPLETED


class Rig:
    """A worker over a real spool, with scripted attempts."""

    def __init__(self, bench: Workbench, script: Attend, slots: int = 2) -> None:
        self.bench = bench
        self.attempts = ScriptedAttempts(script)
        self.metrics = Metrics(CollectorRegistry())
        self.health = HealthState(bench.clock, 600.0, self.metrics)
        self.stop = StopRequest()
        self.jobs_ended = 0
        self.worker = Worker(
            bench.broker,
            cast(Attempts, self.attempts),
            bench.heartbeat(),
            self.health,
            self.metrics,
            Report(bench.broker, self.metrics, bench.clock, progress_events=False),
            bench.settings.worker,
            bench.clock,
            slots=slots,
            exit_when_idle=True,
            after_job=self._count_job,
        )

    def publish(self, *texts: str) -> None:
        for text in texts:
            self.bench.clock.advance(0.01)
            self.bench.broker.publish(text.encode(), {})

    def run(self) -> None:
        self.worker.run(self.stop)

    def _count_job(self) -> None:
        self.jobs_ended += 1


MakeRig = Callable[..., Rig]
