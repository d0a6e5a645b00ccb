"""A dependency that is down for longer than any lease and any bound of attempts costs no job anything."""

import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.nursery import Nursery
from tests.chaos.stacks import Stack, dead
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone

OUTAGES = [
    ("directory", "broker"),
    ("directory", "store"),
    ("kafka", "broker"),
    ("kafka", "store"),
    ("kafka", "credentials"),
    ("oci_queue", "broker"),  # the emulator is its store too
    ("oci_queue", "credentials"),
]
"""By stack; a directory asks for no credentials."""


def outage_of(part: str, stack: Stack) -> AbstractContextManager[None]:
    if part == "broker":
        return dead(stack.broker)
    if part == "store":
        return dead(stack.store)
    refused = stack.refused()
    assert refused is not None
    return refused


def assert_nobody_charged(deployment: Deployment, jobs: list[Job]) -> None:
    for job in jobs:
        record = deployment.record(job)
        assert record is not None
        assert (record.failures, record.crashes) == (0, 0), job.name
    assert not deployment.lines(events.UNEXPECTED_ERROR)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("stack", "part"), OUTAGES, indirect=["stack"])
def test_an_outage_longer_than_lease_and_attempts_charges_nobody_and_ends_by_itself(
    tmp_path: Path, stack: Stack, launch: Nursery, part: str
) -> None:
    """One attempt is all that a job has, and the outage begins with jobs at work and others waiting."""
    outage = outage_of(part, stack)
    with deployed(tmp_path, stack, launch, worker={"max_attempts": 1, "max_crashes": 1}) as deployment:
        jobs = [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(12)]
        log = tmp_path / "at.log"
        plan = Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=0.1)
        workers = [deployment.start(plan) for _ in range(2)]
        until(log.exists, "a job is at work")
        with outage:
            until(lambda: all(worker.lines(events.WORKER_PAUSED) for worker in workers), "they take no work")
            over = time.monotonic() + 1.5 * stack.lease_s + 5.0
            until(lambda: time.monotonic() > over, "every lease is over, and a few tries were in vain")
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)
        assert_nobody_charged(deployment, jobs)
        assert all(worker.running for worker in workers)
        until(lambda: all(worker.lines(events.WORKER_RESUMED) for worker in workers), "they take work again")
