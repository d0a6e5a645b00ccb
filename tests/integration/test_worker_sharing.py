"""Several workers on one spool, and several messages for one job: nothing is done twice."""

from collections import Counter
from pathlib import Path

from tests.chaos.deployment import BRIEF, LONG, deployed, until
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.observability import events

LONG_LEASES = {"broker": {"lease_s": 60.0}, "worker": {"lease_s": 60.0}}
"""On a busy machine nobody may lose a lease: nobody dies here."""


def test_three_workers_on_one_spool_do_every_job_exactly_once(tmp_path: Path) -> None:
    with deployed(tmp_path, **LONG_LEASES) as deployment:
        workers = [deployment.start(Plan(pace=0.02)) for _ in range(3)]
        for worker in workers:
            until(lambda worker=worker: worker.lines(events.WORKER_READY), "ready")  # type: ignore[misc]
        jobs = [deployment.submit(LONG, f"long-{number}.opus") for number in range(4)]
        jobs += [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(14)]
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)
        until(lambda: len(deployment.lines(events.JOB_FINISHED)) >= len(jobs), "all logged")
        finished = deployment.lines(events.JOB_FINISHED)
        assert Counter(line["job_id"] for line in finished) == {job.id: 1 for job in jobs}
        assert {(line["outcome"], line["attempt"]) for line in finished} == {("completed", 1)}
        assert {record.attempts for job in jobs if (record := deployment.record(job))} == {1}
        assert len({line["worker_id"] for line in finished}) == len(workers)
        assert not deployment.lines(events.JOB_LEASE_LOST)


def test_five_messages_for_one_job_make_one_transcript_and_are_all_settled(tmp_path: Path) -> None:
    with deployed(tmp_path, **LONG_LEASES) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav", id="call-1")
        for _ in range(4):
            deployment.publish({"version": 1, "source": str(job.source), "id": "call-1"})
        workers = [deployment.start(Plan(pace=0.1)) for _ in range(2)]
        deployment.run_to_end(job)
        assert_all_done(deployment, [job])
        until(lambda: len(deployment.lines(events.JOB_FINISHED)) == 5, "every message was answered")
        outcomes = Counter(line["outcome"] for worker in workers for line in worker.lines(events.JOB_FINISHED))
        assert outcomes == {"completed": 1, "already_done": 4}
        assert len(deployment.results(job)) == 1, "the same event, however often it was announced"
