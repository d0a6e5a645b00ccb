"""Containers share a backlog over a real Kafka and object storage; one is killed in the middle of its work."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, deployed
from tests.chaos.oci_stacks import KafkaStack
from tests.chaos.processes import until
from tests.chaos.stacks import Fields
from tests.chaos.verdicts import Evidence
from tests.image.building import Image
from tests.image.containers import Launcher
from tests.kafka_server import KafkaServer
from tests.oci_emulator.client import emulator
from transcriber_worker.observability import events
from transcriber_worker.pipeline.records import JobRecord, JobState

JOBS = 14
KILLED = 128 + signal.SIGKILL


def job_done(record: JobRecord | None) -> bool:
    return record is not None and record.state is JobState.DONE


@pytest.mark.timeout(600)
def test_what_a_killed_container_had_is_done_by_the_other_and_every_job_once(
    worker: Image, kafka: KafkaServer, tmp_path: Path
) -> None:
    settings: Fields = {
        "model": {"name": "base", "cache_dir": "/models", "offline": True},
        "engine": {"workers": 1},
    }
    with (
        emulator(tmp_path / "emulator") as emu,
        deployed(tmp_path, KafkaStack(tmp_path, emu, kafka), Launcher(worker, tmp_path), **settings) as deployment,
    ):
        jobs = [deployment.submit(BRIEF, f"ferry-{number}.wav") for number in range(JOBS)]
        doomed, other = deployment.start(), deployment.start()
        until(lambda: doomed.lines(events.JOB_FINISHED) and other.lines(events.JOB_FINISHED), "both work", 120.0)
        doomed.signal(signal.SIGKILL)
        assert doomed.ended() == KILLED
        assert not all(job_done(deployment.record(job)) for job in jobs)
        deployment.run_to_end(*jobs, within_s=240.0)
        other.signal(signal.SIGTERM)
        assert other.ended() == 0

        evidence = Evidence.of(deployment)
        assert (dict(evidence.letters), list(evidence.left)) == ({}, [])
        transcripts = Counter(name for name in evidence.outputs if name.endswith(".json"))
        assert transcripts == Counter(f"{job.name}.json" for job in jobs)
        for job in jobs:
            assert job_done(evidence.record(job))
            assert b"ferry" in evidence.outputs[f"{job.name}.txt"]
            assert {event["type"] for event in evidence.terminal[job.id]} == {"transcription.completed"}
