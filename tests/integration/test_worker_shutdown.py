"""SIGTERM: what fits the grace is finished, the rest handed back, as if it had never been begun."""

import signal
import wave
from pathlib import Path
from typing import Any

from tests.chaos.deployment import BRIEF, deployed, until
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.records import JobState

LEASES: dict[str, Any] = {"broker": {"lease_s": 600.0}}
"""Far longer than a test: what another worker takes within one was given back, not abandoned."""
AT_WORK = Milestone.WINDOW_SUBMITTED


def worker_settings(**fields: Any) -> dict[str, Any]:
    return {"lease_s": 600.0, **fields}


def test_a_job_that_fits_the_grace_is_finished_and_no_other_begun(tmp_path: Path) -> None:
    with deployed(tmp_path, **LEASES, worker=worker_settings(drain_s=60.0, max_jobs_in_flight=1)) as deployment:
        first = deployment.submit(BRIEF, "brief-1.wav")
        second = deployment.submit(BRIEF, "brief-2.wav")
        worker = deployment.start(Plan(milestone=AT_WORK, signal="SIGTERM", pace=0.3))
        assert worker.ended() == 0
        record, untouched = deployment.record(first), deployment.record(second)
        assert record is not None
        assert (record.state, record.attempts) == (JobState.DONE, 1)
        assert untouched is not None
        assert (untouched.state, untouched.attempts) == (JobState.QUEUED, 0)
        assert [path.parent.name for path in deployment.messages()] == ["inbox"]
        assert [line["signal"] for line in worker.lines(events.WORKER_DRAINING)] == ["SIGTERM"]


def test_jobs_that_do_not_fit_are_handed_back_and_taken_at_once_by_another_unmarked(tmp_path: Path) -> None:
    with deployed(tmp_path, **LEASES, worker=worker_settings(drain_s=0.5)) as deployment:
        jobs = [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(3)]
        worker = deployment.start(Plan(milestone=AT_WORK, signal="SIGTERM", pace=20.0))
        assert worker.ended() == 0
        begun = {line["job_id"] for line in worker.lines(events.JOB_HANDED_BACK)}
        assert begun
        for job in jobs:
            record = deployment.record(job)
            assert record is not None
            assert (record.state, record.failures, record.crashes) == (JobState.QUEUED, 0, 0)
            assert not record.suspect
            assert record.token is None
        assert [path.parent.name for path in deployment.messages()] == ["inbox"] * 3
        other = deployment.start()
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)
        assert not other.lines(events.JOB_SUSPECT)


def test_a_second_signal_hands_back_at_once_while_the_engine_is_busy(tmp_path: Path) -> None:
    with deployed(tmp_path, **LEASES, worker=worker_settings(drain_s=300.0)) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        worker = deployment.start(Plan(milestone=AT_WORK, signal="SIGTERM", pace=20.0, deaf=True))
        until(lambda: worker.lines(events.WORKER_DRAINING), "it drains")
        assert worker.running
        worker.signal(signal.SIGTERM)
        assert worker.ended(within_s=20.0) == 0  # the window alone would take three minutes
        assert [line["job_id"] for line in worker.lines(events.JOB_HANDED_BACK)] == [job.id]
        deployment.start()
        deployment.run_to_end(job)
        assert_all_done(deployment, [job])


def five_minutes(path: Path) -> Path:
    """Real speech, again and again."""
    with wave.open(str(BRIEF)) as once, wave.open(str(path), "wb") as often:
        often.setparams(once.getparams())
        often.writeframes(once.readframes(once.getnframes()) * 36)
    return path


def test_what_can_not_fit_is_back_at_once_while_another_job_uses_the_grace(tmp_path: Path) -> None:
    """Of one job it is known after two windows that it needs longer than the grace, of the other nothing yet."""
    settings = worker_settings(drain_s=6.0, max_jobs_in_flight=2, progress_s=0.001)
    told = {"progress_events": True}
    with deployed(tmp_path, **LEASES, worker=settings, engine={"concurrency": 1}, observability=told) as deployment:
        recording = five_minutes(tmp_path / "long.wav")
        too_long = deployment.submit(recording, "long-1.wav")
        plan = Plan(milestone=Milestone.WINDOW_HEARD, nth=2, jobs=(too_long.id,), signal="SIGTERM", pace=0.1)
        worker = deployment.start(plan)
        until(lambda: deployment.results(too_long), "its first window was heard")
        other = deployment.submit(recording, "long-2.wav")
        until(lambda: worker.lines(events.WORKER_DRAINING), "it drains")
        until(lambda: "inbox" in [path.parent.name for path in deployment.messages()], "one is back")
        assert sorted(path.parent.name for path in deployment.messages()) == ["inbox", "leased"]
        records = {job.id: record for job in (too_long, other) if (record := deployment.record(job))}
        assert records[too_long.id].state is JobState.QUEUED
        assert records[other.id].state is JobState.RUNNING
        assert worker.running
        assert worker.ended() == 0
        assert [path.parent.name for path in deployment.messages()] == ["inbox"] * 2


def test_an_idle_worker_stops_at_once(tmp_path: Path) -> None:
    with deployed(tmp_path, worker=worker_settings(drain_s=300.0)) as deployment:
        worker = deployment.start()
        until(lambda: worker.lines(events.WORKER_READY), "ready")
        worker.signal(signal.SIGTERM)
        assert worker.ended(within_s=20.0) == 0
