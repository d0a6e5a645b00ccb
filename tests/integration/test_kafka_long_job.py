"""A job that takes far longer than Kafka lets a consumer be silent: it holds up neither its partition nor its group."""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders import write_wav
from tests.chaos.deployment import LONG, Deployment, WorkerProcess, deployed, free_port, probe, until
from tests.chaos.oci_stacks import KafkaStack
from tests.chaos.stacks import Fields
from tests.chaos.worker_under_test import Plan
from tests.kafka_server import KafkaServer
from tests.oci_emulator.client import Emulator, emulator
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.records import JobState

SPAN = 10
"""How many messages may be delivered from the first that is not done."""
LATER = 2 * SPAN
PATIENCE_S = 120.0
"""Of a slow machine's starting of a worker, say."""
FIRST, LAST = "a-visitor", "z-visitor"
"""Names of clients before and after the others': with range, the first of a group has its only partition."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How long the long job lasts at least, and how long a consumer may be silent; seconds."""

    job_s: float
    max_poll_interval_s: float
    assignment: str


class OnePartition(KafkaStack):
    """The Kafka of the chaos suite, with one partition, and bounds that a test can reach."""

    def __init__(self, root: Path, emu: Emulator, kafka: KafkaServer, trial: Trial) -> None:
        super().__init__(root, emu, kafka, partitions=1)
        self._trial = trial

    def fields(self) -> Fields:
        fields: dict[str, Any] = super().fields()
        fields["broker"]["kafka"] |= {
            "max_poll_interval_s": self._trial.max_poll_interval_s,
            # Longer than a loaded machine keeps a thread from running: nobody may lose its place by that.
            "session_timeout_s": 10.0,
            "max_uncommitted_span": SPAN,
            "assignment": self._trial.assignment,
        }
        return fields

    def members(self) -> dict[str, frozenset[int]]:
        """The group as the broker sees it."""
        return dict(self._kafka.members(self._group))

    def committed(self) -> int:
        """How far the partition is done."""
        return self._kafka.committed(self._group, self._topic).get(0, 0)


class LongJob:
    """A deployment with a job that lasts until it is let go of, and later ones after it in the same partition."""

    def __init__(self, root: Path, deployment: Deployment, stack: OnePartition, trial: Trial) -> None:
        self.deployment, self.stack = deployment, stack
        self.assignment, self._job_s = trial.assignment, trial.job_s
        self._hold = root / "hold"
        self._hold.touch()
        self._begun = time.monotonic()
        self.port = free_port()
        self.owner = self._started("m-owner", {"http_port": self.port})
        tiny = write_wav(root / "tiny.wav", 0.1)
        self.long = deployment.submit(LONG, "long.opus")
        self.later = [deployment.submit(tiny, f"later-{number}.wav") for number in range(LATER)]
        until(lambda: self.later_done() == SPAN - 1, "later jobs done, up to the span's bound", PATIENCE_S)
        (self.member,) = stack.members()

    def visitor(self, name: str) -> WorkerProcess:
        """Another worker, in the group when this returns."""
        visitor = self._started(name, {})
        until(lambda: self.member_of(name), f"{name} is a member", PATIENCE_S)
        return visitor

    def member_of(self, name: str) -> str | None:
        """The member of the group that this client is."""
        return next((member for member in self.stack.members() if member.startswith(f"{name}-")), None)

    def alone(self) -> bool:
        """Whether the owner is the group's only member, and has the partition."""
        return self.stack.members() == {self.member: frozenset({0})}

    def lasted(self) -> bool:
        return time.monotonic() >= self._begun + self._job_s

    def let_go(self) -> None:
        """Let the long job come to its end."""
        assert self.running, "the long job has ended before it was let go of"
        self._hold.unlink()

    @property
    def running(self) -> bool:
        record = self.deployment.record(self.long)
        return record is not None and record.state is JobState.RUNNING

    def later_done(self) -> int:
        """How many of the later jobs are."""
        records = [self.deployment.record(job) for job in self.later]
        return sum(record is not None and record.state is JobState.DONE for record in records)

    def _started(self, name: str, observability: Mapping[str, Any]) -> WorkerProcess:
        kafka = {**self.stack.fields()["broker"]["kafka"], "options": {"client.id": name}}
        plan = Plan(held=str(self._hold), tiny_wavs=True)
        told = {"log_level": "debug", **observability}
        return self.deployment.start(plan, observability=told, broker={"kafka": kafka})


@contextmanager
def long_job(root: Path, kafka: KafkaServer, trial: Trial) -> Iterator[LongJob]:
    with emulator() as emu:
        stack = OnePartition(root, emu, kafka, trial)
        with deployed(root, stack) as deployment:
            yield LongJob(root, deployment, stack, trial)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
def test_a_long_job_holds_up_neither_its_partition_nor_its_group(
    tmp_path: Path, whole_kafka: KafkaServer, assignment: str
) -> None:
    see(tmp_path, whole_kafka, Trial(job_s=30.0, max_poll_interval_s=10.0, assignment=assignment))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_of_ten_minutes_holds_up_neither_its_partition_nor_its_group(
    tmp_path: Path, whole_kafka: KafkaServer
) -> None:
    see(tmp_path, whole_kafka, Trial(job_s=600.0, max_poll_interval_s=60.0, assignment="cooperative-sticky"))


def see(root: Path, kafka: KafkaServer, trial: Trial) -> None:
    """Workers come and go while the long job lasts, and it ends while nobody else is there."""
    with long_job(root, kafka, trial) as job:
        deployment, stack = job.deployment, job.stack
        until(lambda: metric(job.port, "transcriber_broker_lag_messages") == 1 + LATER, "the lag told")
        come_and_go(job)
        job.let_go()

        deployment.run_to_end(job.long, *job.later, within_s=PATIENCE_S)
        assert job.member in stack.members(), "the worker was evicted, and came back as somebody else"
        assert stack.committed() == 1 + LATER
        assert_never_evicted(job.owner)
        assert_done_once(deployment, job.long)
        until(lambda: endings(deployment, job.long), "logged", PATIENCE_S)
        assert endings(deployment, job.long) == ["completed"]


def come_and_go(job: LongJob) -> None:
    """For as long as the long job is to last, workers join the group and leave it, politely and not, having had the
    partition and not (with range; the other kind leaves it where it is)."""
    names = (FIRST, LAST) if job.assignment == "range" else (LAST,)
    visits = [(way, name) for way in (signal.SIGTERM, signal.SIGKILL) for name in names]
    for number, (way, name) in enumerate(itertools.cycle(visits), 1):
        visitor = job.visitor(name)
        visitor.signal(way)
        visitor.ended(PATIENCE_S)
        until(job.alone, "the group without it", PATIENCE_S)
        assert job.running, "the long job has ended before it was let go of"
        assert job.stack.committed() == 0, "committed past a job that is not done"
        assert job.later_done() == SPAN - 1, "the bound on what runs ahead was broken"
        if number >= len(visits) and job.lasted():
            return


def test_a_job_that_ends_while_its_partition_is_with_another_worker_is_not_done_again(
    tmp_path: Path, whole_kafka: KafkaServer
) -> None:
    with long_job(tmp_path, whole_kafka, Trial(job_s=0.0, max_poll_interval_s=10.0, assignment="range")) as job:
        deployment, stack = job.deployment, job.stack
        visitor = job.visitor(FIRST)
        until(lambda: stack.members().get(job.member_of(FIRST) or "") == frozenset({0}), "it has it", PATIENCE_S)
        assert stack.members()[job.member] == frozenset()
        job.let_go()

        deployment.run_to_end(job.long, *job.later, within_s=PATIENCE_S)
        assert stack.committed() == 1 + LATER
        assert_never_evicted(job.owner)
        assert_done_once(deployment, job.long)
        until(lambda: len(endings(deployment, job.long)) >= 2, "logged", PATIENCE_S)
        assert endings(deployment, job.long) == ["completed", "already_done"], "the owner's, then the visitor's"
        assert job.long.id in {line["job_id"] for line in visitor.lines(events.JOB_FINISHED)}


def metric(port: int, name: str) -> float | None:
    """A gauge of a worker; None where it is not told."""
    for line in probe(port, "/metrics")[1].splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return None


def assert_never_evicted(worker: WorkerProcess) -> None:
    """It never lost partitions (which is not: gave them up), nor was told that it had been silent for too long."""
    assert not [line for line in worker.lines(events.BROKER_PARTITIONS) if line["message"].startswith("lost")]
    errors = {line["error"] for line in worker.lines(events.BROKER_ERROR)}
    assert not errors & {"_MAX_POLL_EXCEEDED", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"}, errors


def endings(deployment: Deployment, job: Job) -> list[str]:
    """How attempts at a job ended."""
    return [line["outcome"] for line in deployment.lines(events.JOB_FINISHED) if line["job_id"] == job.id]


def assert_done_once(deployment: Deployment, job: Job) -> None:
    """One attempt, one transcript, one answer, which may be told again."""
    record = deployment.record(job)
    assert record is not None
    assert (record.state, record.attempts, record.failures, record.crashes) == (JobState.DONE, 1, 0, 0)
    answers = {(event["id"], event["type"].rpartition(".")[2]) for event in deployment.results(job)}
    assert [kind for _, kind in answers] == ["completed"]
