"""A cluster in small: real worker processes, run as KEDA and its HPA would have them upon a real exporter's answers."""

import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.chaos.deployment import Deployment, WorkerProcess
from tests.chaos.verdicts import Evidence, assert_all_done
from tests.chaos.worker_under_test import Plan
from tests.scaling.exporter import Exporter
from tests.scaling.hpa import SYNC_S
from tests.scaling.keda import Autoscaler
from tests.scaling.recordings import Outcome, Sample, ScaleIn, metric_of_answer
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.request import to_job, validate_request
from transcriber_worker.observability import events
from transcriber_worker.observability.events import LogEvent

COMPRESSION = 15.0
"""Seconds of the cluster in each that passes here: an HPA's turn takes one."""


@dataclass(slots=True)
class Leaving:
    """A worker that was told to stop, and since when it had which job."""

    worker: WorkerProcess
    told_at: float
    at_s: float
    had: Mapping[str, float]


@dataclass(slots=True)
class Cluster:
    """Called from one thread. `partitions_with_lag`: on Kafka, what KEDA would ask the broker itself. `slots`: files
    that a worker has at once, and messages for each worker."""

    deployment: Deployment
    exporter: Exporter
    autoscaler: Autoscaler
    plan: Plan
    partitions_with_lag: Callable[[], int] | None = None
    slots: int = 1
    jobs: list[Job] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    scale_ins: list[ScaleIn] = field(default_factory=list)
    _sources: list[tuple[str, str]] = field(default_factory=list)
    _leaving: list[Leaving] = field(default_factory=list)
    _did: list[str] = field(default_factory=list)
    _began: float = 0.0

    def shelve(self, kind: str, recording: Path, count: int) -> None:
        """Put recordings where workers may read them, to be published later."""
        for _ in range(count):
            name = f"{kind}-{len(self._sources):04}{recording.suffix}"
            self._sources.append((name, str(self.deployment.shelve(recording, name))))

    def publish(self, kind: str) -> None:
        """Ask for all that is shelved of this kind."""
        office, sources = self.deployment.office, [one for one in self._sources if one[0].startswith(f"{kind}-")]
        for one in sources:
            fields = {"version": 1, "source": one[1]}
            self.jobs.append(to_job(validate_request(fields), office.places.rules, published_at=time.time()))
            self.deployment.publish(fields)
            self._sources.remove(one)
        self.note(f"{len(sources)} {kind} file{'s' if len(sources) > 1 else ''} published")

    def note(self, text: str) -> None:
        """What was done to the cluster, for the next sample."""
        self._did.append(text)

    def turns(self, over: Callable[[], bool], most: int) -> Iterator[int]:
        """One turn after the other, `SYNC_S` of the cluster each, until `over`. Gives each turn's number ahead of it,
        so that something may be done to the cluster before it is asked."""
        never, self._began = threading.Event(), time.monotonic()
        for turn in range(most):
            if turn and over():
                return
            yield turn
            never.wait(self._began + turn * SYNC_S / COMPRESSION - time.monotonic())
            self._turn()
        raise AssertionError(f"after {most} turns it is not over: {self.samples[-1]}")

    def ended(self) -> bool:
        """Whether there was something to do and nothing is left, by the exporter's own word."""
        backlogs = [sample.answer.backlog for sample in self.samples if sample.answer]
        return any(backlogs) and self.samples[-1].answer is not None and backlogs[-1] == 0

    def finish(self) -> None:
        """Let all who were told to stop end."""
        for leaving in self._leaving:
            leaving.worker.ended()
        self._bury()

    def outcome(self) -> Outcome:
        """Raises where not every job has exactly one complete set of outputs, told of as done."""
        assert_all_done(self.deployment, self.jobs)
        evidence = Evidence.of(self.deployment)
        transcripts = Counter(name for name in evidence.outputs if name.endswith(".json"))
        told = {job.id: {event["id"] for event in evidence.terminal[job.id]} for job in self.jobs}
        records = [self.deployment.record(job) for job in self.jobs]
        return Outcome(
            jobs=len(self.jobs),
            transcripts=len(transcripts),
            jobs_with_one_transcript=sum(transcripts[f"{job.name}.json"] == 1 for job in self.jobs),
            jobs_with_one_result=sum(len(ids) == 1 for ids in told.values()),
            dead_letters=len(evidence.letters),
            begun=sum(record.attempts for record in records if record),
        )

    def _turn(self) -> None:
        at_s = round((time.monotonic() - self._began) * COMPRESSION, 1)
        status, answer = self.exporter.ask()
        metrics_status, metrics = self.exporter.scrape()
        with_lag = self.partitions_with_lag() if self.partitions_with_lag else None
        self._bury()
        sample = Sample(
            at_s=at_s,
            status=status,
            answer=answer,
            metrics_status=metrics_status,
            metrics=metrics,
            partitions_with_lag=with_lag,
            workers=len(self._staying()),
            stopping=len(self._leaving),
            desired=self.autoscaler.step(at_s, metric_of_answer(answer, with_lag, self.slots)).replicas,
            did=self._did,
        )
        self._did = []
        self.samples.append(sample)
        while len(self._staying()) < sample.desired:
            self.deployment.start(self.plan)
        while len(staying := self._staying()) > sample.desired:
            self._tell_to_stop(self._worst(staying), at_s)

    def _staying(self) -> Sequence[WorkerProcess]:
        leaving = [one.worker for one in self._leaving]
        return [worker for worker in self.deployment.workers if worker.running and worker not in leaving]

    def _worst(self, workers: Sequence[WorkerProcess]) -> WorkerProcess:
        """The one whose end costs most: who has a job for longest. A cluster does not know, and may well choose it."""
        owned = self._owned()
        return min(workers, key=lambda worker: min(owned[worker.log.stem].values(), default=float("inf")))

    def _owned(self) -> Mapping[str, Mapping[str, float]]:
        """When (Unix seconds) each worker began each job that it has now, by the jobs' records."""
        finished = {line["job_id"] for line in self.deployment.lines(events.JOB_FINISHED)}
        owned: dict[str, dict[str, float]] = defaultdict(dict)
        for record in (self.deployment.record(job) for job in self.jobs if job.id not in finished):
            if record is not None and record.token and record.owner and record.started_at is not None:
                owned[record.owner][record.job_id] = record.started_at
        return owned

    def _tell_to_stop(self, worker: WorkerProcess, at_s: float) -> None:
        had = self._owned()[worker.log.stem]
        worker.signal(signal.SIGTERM)
        self._leaving.append(Leaving(worker, time.time(), at_s, had))

    def _bury(self) -> None:
        for leaving in [one for one in self._leaving if not one.worker.running]:
            self._leaving.remove(leaving)
            self.scale_ins.append(_told(leaving, leaving.worker.ended()))


def _told(leaving: Leaving, exit_code: int) -> ScaleIn:
    finished = _moments(leaving.worker, events.JOB_FINISHED)
    back = {job: at for job, at in _moments(leaving.worker, events.JOB_HANDED_BACK).items() if job in leaving.had}
    stopped = [datetime.fromisoformat(line["timestamp"]) for line in leaving.worker.lines(events.WORKER_STOPPED)]
    ended_at = stopped[-1].timestamp() if stopped else time.time()
    return ScaleIn(
        at_s=leaving.at_s,
        worker=leaving.worker.log.stem,
        in_flight=len(leaving.had),
        finished=sum(job in finished for job in leaving.had),
        handed_back=len(back),
        done_s=_cluster_s(leaving.told_at - leaving.had[job] for job in back),
        drained_s=_cluster_s(at - leaving.told_at for at in back.values()),
        lasted_s=_cluster_s([ended_at - leaving.told_at]),
        exit_code=exit_code,
    )


def _moments(worker: WorkerProcess, event: LogEvent) -> dict[str, float]:
    """When (Unix seconds) it told this of which job."""
    return {line["job_id"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in worker.lines(event)}


def _cluster_s(seconds: Iterable[float]) -> float:
    return round(max(0.0, sum(seconds)) * COMPRESSION, 1)
