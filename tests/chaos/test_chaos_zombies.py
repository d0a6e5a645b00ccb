"""A worker that stood still past its lease changes nothing when it goes on, and is as good as new."""

import signal
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, LONG, RECORDINGS, Deployment, WorkerProcess, deployed, until
from tests.chaos.verdicts import assert_all_done, assert_done
from tests.chaos.worker_under_test import COMMITTING, Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone


def everything_written(deployment: Deployment) -> dict[str, bytes]:
    """Outputs, records, results, letters, messages: the bytes of every file that anybody else can see."""
    roots = (deployment.transcripts, deployment.spool)
    files = [path for root in roots for path in root.rglob("*") if path.is_file() and ".writing" not in path.parts]
    return {str(path): path.read_bytes() for path in files}


def stopped_at(deployment: Deployment, milestone: str) -> WorkerProcess:
    """A worker that has stopped itself there."""
    log = deployment.root / "stops.log"
    zombie = deployment.start(Plan(milestone=milestone, signal="SIGSTOP", log=str(log)))
    until(lambda: log.exists() and zombie.stopped(), f"it stands still at {milestone}")
    return zombie


def wakes_as_good_as_new(deployment: Deployment, zombie: WorkerProcess, other: WorkerProcess) -> Job:
    """The other worker leaves, and the zombie does the next job."""
    other.signal(signal.SIGTERM)
    assert other.ended() == 0
    following = deployment.submit(BRIEF, "brief-next.wav")
    deployment.run_to_end(following)
    until(lambda: following.id in [line["job_id"] for line in zombie.lines(events.JOB_FINISHED)], "the zombie did it")
    return following


@pytest.mark.parametrize(
    "milestone",
    [Milestone.WINDOW_SUBMITTED, Milestone.ASSEMBLED, COMMITTING, Milestone.COMMITTED, Milestone.RENDERED],
)
def test_a_zombie_changes_nothing_and_goes_on_to_serve(tmp_path: Path, milestone: str) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(LONG, "long-1.opus")
        zombie = stopped_at(deployment, milestone)
        other = deployment.start()
        deployment.run_to_end(job)
        assert_done(deployment, job)
        before = everything_written(deployment)
        zombie.signal(signal.SIGCONT)
        lost = until(lambda: zombie.lines(events.JOB_LEASE_LOST), "the zombie has noticed")
        assert [line["job_id"] for line in lost] == [job.id]
        assert everything_written(deployment) == before
        following = wakes_as_good_as_new(deployment, zombie, other)
        assert_all_done(deployment, [job, following])


@pytest.mark.parametrize("milestone", [Milestone.FINISHED, Milestone.ANNOUNCED])
def test_a_zombie_that_had_finished_says_the_same_again_at_most(tmp_path: Path, milestone: str) -> None:
    """Its record was done when it stopped, so the other worker only announced it and settled its message."""
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        zombie = stopped_at(deployment, milestone)
        other = deployment.start()
        deployment.run_to_end(job)
        until(lambda: other.lines(events.JOB_FINISHED), "the other has said so")
        before = everything_written(deployment)
        zombie.signal(signal.SIGCONT)
        until(lambda: zombie.lines(events.JOB_FINISHED), "the zombie is through")
        assert everything_written(deployment) == before
        following = wakes_as_good_as_new(deployment, zombie, other)
        assert_all_done(deployment, [job, following])


def test_a_zombie_renders_nothing_over_the_transcript_of_a_newer_recording(tmp_path: Path) -> None:
    """It had committed the old one's; meanwhile another recording came under the same name."""
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "call.wav")
        zombie = stopped_at(deployment, Milestone.COMMITTED)
        old = deployment.outputs()["call.wav.json"]
        assert deployment.office.shelve is not None
        deployment.publish({"source": str(deployment.office.shelve(RECORDINGS / "water-meter.wav", "call.wav"))})
        deployment.start()
        deployment.run_to_end(job)
        assert deployment.outputs()["call.wav.json"] != old
        before = everything_written(deployment)
        zombie.signal(signal.SIGCONT)
        until(lambda: zombie.lines(events.JOB_LEASE_LOST), "the zombie has noticed")
        assert everything_written(deployment) == before
        assert_all_done(deployment, [job])


def test_a_zombie_about_to_commit_writes_nothing_while_its_successor_is_at_work(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        zombie = stopped_at(deployment, Milestone.ASSEMBLED)
        log = tmp_path / "at.log"
        at_work = Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=2.0)
        successor = deployment.start(at_work)
        until(log.exists, "the successor is at work")
        zombie.signal(signal.SIGCONT)
        until(lambda: zombie.lines(events.JOB_LEASE_LOST), "the zombie has noticed")
        assert deployment.outputs() == {}
        deployment.run_to_end(job)
        until(lambda: successor.lines(events.JOB_FINISHED), "the successor has said so")
        assert [line["worker_id"] for line in successor.lines(events.JOB_FINISHED)] == ["worker-2"]
        assert_all_done(deployment, [job])
