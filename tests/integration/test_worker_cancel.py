"""`cancel` at any time of a job's life."""

from pathlib import Path

from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.tools.watching import cancel


def assert_cancelled(deployment: Deployment, job: Job) -> None:
    record = deployment.record(job)
    assert record is not None
    assert record.state is JobState.CANCELLED
    assert deployment.outputs() == {}
    assert deployment.letters() == {}
    assert [event["data"]["error"]["reason"] for event in deployment.results(job)] == ["cancelled"]


def test_a_running_job_stops_long_before_it_would_be_done(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav", id="call-1")
        log = tmp_path / "at.log"
        worker = deployment.start(
            Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=60.0)
        )
        until(log.exists, "it is at work")
        cancel(deployment.office.records, "call-1")
        deployment.run_to_end(job)  # the window alone would take eight minutes
        assert_cancelled(deployment, job)
        until(lambda: worker.lines(events.JOB_CANCELLED), "logged")
        following = deployment.submit(BRIEF, "brief-2.wav")
        assert not deployment.outputs()
        cancel(deployment.office.records, following.id)
        deployment.run_to_end(following)  # the engine let go of the first


def test_a_job_cancelled_before_its_start_is_never_begun_and_a_new_request_is_another_try(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        cancel(deployment.office.records, job.id)
        worker = deployment.start()
        deployment.run_to_end(job)
        assert_cancelled(deployment, job)
        assert not worker.lines(events.JOB_FINISHED)
        deployment.publish({"source": str(job.source)})
        until(lambda: (record := deployment.record(job)) and record.state is JobState.DONE, "done after all")
        until(lambda: deployment.ended(job), "settled")
        assert len(deployment.outputs()) == 4


def test_a_cancellation_after_the_end_changes_nothing(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        deployment.start()
        deployment.run_to_end(job)
        before = deployment.outputs()
        record = cancel(deployment.office.records, job.id)
        assert record is not None
        assert record.state is JobState.DONE
        assert deployment.outputs() == before
        assert_all_done(deployment, [job])
