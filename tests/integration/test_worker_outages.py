"""A bad minute harms nobody: with its surroundings down a worker pauses, charges nothing, and goes on by itself."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, Deployment, WorkerProcess, deployed, free_port, probe, until
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone

FAILED_TRIES = 'transcriber_jobs_finished_total{outcome="environment_down"}'
Outage = Callable[[Deployment, WorkerProcess], "Iterator[None]"]


@contextmanager
def no_room_on_any_disk(deployment: Deployment, worker: WorkerProcess) -> Iterator[None]:
    """Writing a single byte to any file fails."""
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _replaced(folder: Path) -> Iterator[None]:
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.write_bytes(b"not a folder")
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


@contextmanager
def no_output_directory(deployment: Deployment, worker: WorkerProcess) -> Iterator[None]:
    """Nor the job records, which lie below it."""
    with _replaced(deployment.transcripts):
        yield


@contextmanager
def no_spool(deployment: Deployment, worker: WorkerProcess) -> Iterator[None]:
    with _replaced(deployment.spool):
        yield


@dataclass(frozen=True, slots=True)
class Probed:
    """A worker that can be asked how it is."""

    process: WorkerProcess
    port: int

    def answers(self, path: str) -> int:
        return probe(self.port, path)[0]

    def metric(self, name: str) -> float:
        """0 where there is none yet."""
        lines = probe(self.port, "/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def start_probed(deployment: Deployment, plan: Plan) -> Probed:
    port = free_port()
    return Probed(deployment.start(plan, observability={"http_host": "127.0.0.1", "http_port": port}), port)


def assert_nobody_charged(deployment: Deployment, jobs: list[Job]) -> None:
    for job in jobs:
        record = deployment.record(job)
        assert record is not None
        assert (record.failures, record.crashes, record.suspect) == (0, 0, False)
    assert not deployment.lines(events.JOB_RETRIED)
    assert not deployment.lines(events.JOB_SUSPECT)
    assert not deployment.lines(events.UNEXPECTED_ERROR)


@pytest.mark.parametrize("outage", [no_room_on_any_disk, no_output_directory, no_spool])
@pytest.mark.timeout(200)
def test_an_outage_pauses_the_worker_charges_nobody_and_ends_by_itself(tmp_path: Path, outage: Outage) -> None:
    """It begins with a job at work, whose writes then fail, and others waiting."""
    with deployed(tmp_path, worker={"max_attempts": 1, "max_crashes": 1}) as deployment:
        jobs = [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(7)]
        log = tmp_path / "at.log"
        worker = start_probed(
            deployment, Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=0.1)
        )
        until(log.exists, "a job is at work")
        assert worker.answers("/readyz") == 200
        with outage(deployment, worker.process):  # type: ignore[attr-defined]
            until(lambda: worker.answers("/readyz") == 503, "it says that it takes no work")
            assert worker.answers("/livez") == 200
            until(lambda: worker.metric("transcriber_jobs_in_flight") == 0, "everything it had begun has failed")
            tried = worker.metric(FAILED_TRIES)
            until(lambda: worker.metric(FAILED_TRIES) >= tried + 2, "it has tried again, in vain")
            assert worker.answers("/readyz") == 503
            assert worker.answers("/livez") == 200
            assert len(worker.process.lines(events.WORKER_PAUSED)) == 1
        until(lambda: worker.answers("/readyz") == 200, "it takes work again by itself")
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)
        assert_nobody_charged(deployment, jobs)
        assert len(worker.process.lines(events.WORKER_RESUMED)) >= 1


def test_an_outage_longer_than_every_lease_charges_nobody(tmp_path: Path) -> None:
    """What the worker could not let go of looks, once the store is back, as if its holder had died."""
    with deployed(tmp_path, worker={"max_attempts": 1, "max_crashes": 1}) as deployment:
        jobs = [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(4)]
        log = tmp_path / "at.log"
        worker = start_probed(
            deployment, Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=0.1)
        )
        until(log.exists, "a job is at work")
        with no_room_on_any_disk(deployment, worker.process):
            until(lambda: worker.answers("/readyz") == 503, "it says that it takes no work")
            held = [found for job in jobs if (found := deployment.office.records.read(job.id)) and found.held]
            assert held
            until(lambda: not any(r.held for job in jobs if (r := deployment.office.records.read(job.id))), "expired")
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)
        assert_nobody_charged(deployment, jobs)
