"""A lease shorter than the job is kept to the end; one that was lost costs the job, and nothing but it."""

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.nursery import Nursery
from tests.chaos.stacks import Stack
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone

AUDIO_S = 8.5


def pace_for(job_s: float) -> float:
    """What makes the engine take so long for `BRIEF`."""
    return job_s / AUDIO_S


def publish_again(deployment: Deployment, job: Job, times: int) -> None:
    """So that other workers have messages for the job too, whose claim alone keeps them away: a message may stay with
    the worker that has it whatever becomes of the claim, or be the only thing that is kept."""
    for _ in range(times):
        deployment.publish({"version": 1, "source": str(job.source)})


def all_completed(deployment: Deployment) -> list[dict[str, Any]]:
    """The lines of jobs that were done, not found done."""
    return [line for line in deployment.lines(events.JOB_FINISHED) if line["outcome"] == "completed"]


@pytest.mark.timeout(200)
def test_a_job_of_three_leases_is_done_once_by_the_worker_that_began_it(
    tmp_path: Path, stack: Stack, launch: Nursery
) -> None:
    with deployed(tmp_path, stack, launch) as deployment:
        plan = Plan(pace=pace_for(3 * stack.lease_s))
        workers = [deployment.start(plan) for _ in range(2)]
        until(lambda: all(worker.lines(events.WORKER_READY) for worker in workers), "ready")
        job = deployment.submit(BRIEF, "brief-1.wav")
        publish_again(deployment, job, times=3)
        deployment.run_to_end(job)
        assert_all_done(deployment, [job])
        record = deployment.record(job)
        assert record is not None
        assert (record.attempts, record.suspect) == (1, False)
        until(lambda: len(deployment.lines(events.JOB_FINISHED)) >= 4, "every message was answered")
        completed = all_completed(deployment)
        assert len(completed) == 1
        assert completed[0]["job_s"] > 2 * stack.lease_s
        assert not deployment.lines(events.JOB_LEASE_LOST)


@pytest.mark.timeout(200)
def test_with_heartbeats_cut_the_job_is_cancelled_and_the_other_worker_s_output_stands(
    tmp_path: Path, stack: Stack, launch: Nursery
) -> None:
    """Its heartbeats come through again while the other is at work, long before its own engine would be through."""
    with deployed(tmp_path, stack, launch) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        log = tmp_path / "at.log"
        cut = deployment.start(
            Plan(
                milestone=Milestone.WINDOW_SUBMITTED,
                signal="SIGWINCH",
                log=str(log),
                pace=pace_for(600.0),
                silent_s=2 * stack.lease_s,
            ),
            worker={"max_jobs_in_flight": 1},  # or it would take its own job again by another message
        )
        until(log.exists, "it is at work")
        publish_again(deployment, job, times=12)
        other = deployment.start(Plan(pace=pace_for(2 * stack.lease_s)))
        lost = until(lambda: cut.lines(events.JOB_LEASE_LOST), "the one that was cut off has noticed")
        assert job.id in {line["job_id"] for line in lost}
        deployment.run_to_end(job)
        assert_all_done(deployment, [job])
        until(lambda: all_completed(deployment), "the other has said so")
        assert [line["worker_id"] for line in all_completed(deployment)] == ["worker-2"]
        assert other.running
