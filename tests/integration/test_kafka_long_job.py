"""A job that takes far longer than Kafka lets a consumer be silent: it holds up neither its partition nor its group."""

import signal
from collections.abc import Iterator
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
HEARD_S = 84.0
"""Of the long recording, its pauses left out."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How long the long job takes, and how long a consumer may be silent; seconds."""

    job_s: float
    max_poll_interval_s: float
    assignment: str

    @property
    def plan(self) -> Plan:
        return Plan(pace=self.job_s / HEARD_S, tiny_wavs=True)


class OnePartition(KafkaStack):
    """The Kafka of the chaos suite, with one partition, and bounds that a test can reach."""

    def __init__(self, root: Path, emu: Emulator, kafka: KafkaServer, trial: Trial) -> None:
        super().__init__(root, emu, kafka, partitions=1)
        self._trial = trial

    def fields(self) -> Fields:
        fields: dict[str, Any] = super().fields()
        fields["broker"]["kafka"] |= {
            "max_poll_interval_s": self._trial.max_poll_interval_s,
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


@pytest.fixture
def emu() -> Iterator[Emulator]:
    with emulator() as running:
        yield running


@pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
def test_a_long_job_holds_up_neither_its_partition_nor_its_group(
    tmp_path: Path, whole_kafka: KafkaServer, emu: Emulator, assignment: str
) -> None:
    see(tmp_path, whole_kafka, emu, Trial(job_s=40.0, max_poll_interval_s=10.0, assignment=assignment))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_of_ten_minutes_holds_up_neither_its_partition_nor_its_group(
    tmp_path: Path, whole_kafka: KafkaServer, emu: Emulator
) -> None:
    see(tmp_path, whole_kafka, emu, Trial(job_s=600.0, max_poll_interval_s=60.0, assignment="cooperative-sticky"))


def see(root: Path, kafka: KafkaServer, emu: Emulator, trial: Trial) -> None:
    """The long job first, later ones after it in the same partition, and workers that come and go meanwhile."""
    stack, port = OnePartition(root, emu, kafka, trial), free_port()
    with deployed(root, stack, observability={"log_level": "debug"}) as deployment:
        owner = deployment.start(trial.plan, observability={"log_level": "debug", "http_port": port})
        tiny = write_wav(root / "tiny.wav", 0.1)
        long = deployment.submit(LONG, "long.opus")
        later = [deployment.submit(tiny, f"later-{number}.wav") for number in range(LATER)]
        until(lambda: len(done(deployment, later)) == SPAN - 1, "later jobs done, up to the span's bound")
        (us,) = stack.members()
        until(lambda: metric(port, "transcriber_broker_lag_messages") == 1 + LATER, "the lag told")
        visits = come_and_go(deployment, stack, trial, long)
        assert visits >= 2, "the long job was over before workers could come and go"

        deployment.run_to_end(long, *later, within_s=60.0)
        assert us in stack.members(), "the worker was evicted, and came back as somebody else"
        assert stack.committed() == 1 + LATER
        assert_never_evicted(owner)
        assert_done_once(deployment, long)
        assert completed(deployment).index(long.id) == SPAN - 1, "the bound on what runs ahead was broken"


def come_and_go(deployment: Deployment, stack: OnePartition, trial: Trial, long: Job) -> int:
    """For as long as the long job lasts, workers join the group and leave it, politely and not; returns how many."""
    visits = 0
    while running(deployment, long):
        visitor = deployment.start(trial.plan)
        until(lambda: len(stack.members()) == 2 or not running(deployment, long), "a second member")
        if not running(deployment, long):
            visitor.signal(signal.SIGTERM)
            visitor.ended()
            break
        visitor.signal(signal.SIGKILL if visits % 2 else signal.SIGTERM)
        visitor.ended()
        until(lambda: len(stack.members()) == 1, "the group without it")
        committed = stack.committed()
        assert committed == 0 or not running(deployment, long), "committed past a job that is not done"
        visits += running(deployment, long)
    return visits


def running(deployment: Deployment, job: Job) -> bool:
    record = deployment.record(job)
    return record is not None and record.state is JobState.RUNNING


def done(deployment: Deployment, jobs: list[Job]) -> list[str]:
    """The names of those that are."""
    records = [record for job in jobs if (record := deployment.record(job)) is not None]
    return [record.name for record in records if record.state is JobState.DONE]


def completed(deployment: Deployment) -> list[str]:
    """The ids of the jobs that any worker has done, in order of time."""
    lines = [line for line in deployment.lines(events.JOB_FINISHED) if line["outcome"] == "completed"]
    return [line["job_id"] for line in sorted(lines, key=lambda line: str(line["timestamp"]))]


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


def assert_done_once(deployment: Deployment, job: Job) -> None:
    """One attempt, one transcript, one answer."""
    record = deployment.record(job)
    assert record is not None
    assert (record.state, record.attempts, record.failures, record.crashes) == (JobState.DONE, 1, 0, 0)
    ends = [line for line in deployment.lines(events.JOB_FINISHED) if line["job_id"] == job.id]
    assert [line["outcome"] for line in ends] == ["completed"]
    assert [event["type"].rpartition(".")[2] for event in deployment.results(job)] == ["completed"]
