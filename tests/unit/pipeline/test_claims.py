"""Claims: who has a job, and what happens when that is unclear."""

from collections.abc import Callable

import pytest

from tests.builders import make_message
from tests.workbench import Workbench
from transcriber_worker.domain.errors import JobCancelled, LeaseLost
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.result import EventType, ResultEvent, result_event
from transcriber_worker.pipeline.announcements import result_data
from transcriber_worker.pipeline.claims import Claim, Claims, Refusal, SourceVersion
from transcriber_worker.pipeline.records import JobRecords, JobState
from transcriber_worker.storage.base import Condition, ConditionFailed, ObjectInfo
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.tools.watching import cancel

SOURCE = SourceVersion(etag="e1", modified_at=100.0, fingerprint="f1")


def claimed(
    claims: Claims, job: Job, message_id: str = "m1", source: SourceVersion = SOURCE, *, alone: bool = False
) -> Claim:
    claim = claims.acquire(job, make_message(id_=message_id), source, alone=alone)
    assert isinstance(claim, Claim), claim
    return claim


def done(job: Job) -> Callable[[int], ResultEvent]:
    def event(revision: int) -> ResultEvent:
        data = result_data(job, 1)
        return result_event(f"{job.id}:{revision}", EventType.COMPLETED, data, now=0.0, traceparent=None)

    return event


@pytest.fixture
def job(bench: Workbench) -> Job:
    return bench.submit().job


def test_a_living_claim_keeps_others_out(bench: Workbench, job: Job) -> None:
    claimed(bench.claims("w1"), job)

    assert bench.claims("w2").acquire(job, make_message(), SOURCE, alone=True) is Refusal.HELD


def test_the_same_worker_does_not_take_a_job_twice(bench: Workbench, job: Job) -> None:
    claims = bench.claims("w1")
    claimed(claims, job)

    assert claims.acquire(job, make_message(id_="m2"), SOURCE, alone=True) is Refusal.HELD


def test_a_renewed_claim_outlives_its_first_lease(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    bench.clock.advance(bench.settings.worker.lease_s - 1)
    claim.renew()
    bench.clock.advance(bench.settings.worker.lease_s - 1)

    assert bench.claims("w2").acquire(job, make_message(), SOURCE, alone=True) is Refusal.HELD


def test_an_expired_claim_is_taken_over_by_one_that_runs_it_alone(bench: Workbench, job: Job) -> None:
    claimed(bench.claims("w1"), job)
    bench.clock.advance(bench.settings.worker.lease_s + 1)

    assert bench.claims("w2").acquire(job, make_message(), SOURCE, alone=False) is Refusal.MUST_RUN_ALONE
    record = claimed(bench.claims("w2"), job, alone=True).record

    assert (record.owner, record.attempts, record.suspect, record.crashes) == ("w2", 2, True, 0)


def test_the_zombie_of_an_expired_claim_can_do_nothing_more(bench: Workbench, job: Job) -> None:
    zombie = claimed(bench.claims("w1"), job)
    bench.clock.advance(bench.settings.worker.lease_s + 1)
    claimed(bench.claims("w2"), job, alone=True)

    for act in (zombie.renew, zombie.verify, zombie.release, lambda: zombie.finish(JobState.DONE, done(job))):
        with pytest.raises(LeaseLost):
            act()


def test_a_clean_end_clears_the_suspicion(bench: Workbench, job: Job) -> None:
    claimed(bench.claims("w1"), job)
    bench.clock.advance(bench.settings.worker.lease_s + 1)
    claimed(bench.claims("w2"), job, alone=True).release(suspect=False, failures=1)

    record = claimed(bench.claims("w3"), job).record

    assert (record.suspect, record.failures) == (False, 1)


def test_a_hand_back_does_not(bench: Workbench, job: Job) -> None:
    claimed(bench.claims("w1"), job)
    bench.clock.advance(bench.settings.worker.lease_s + 1)
    claimed(bench.claims("w2"), job, alone=True).release()

    assert bench.claims("w3").acquire(job, make_message(), SOURCE, alone=False) is Refusal.MUST_RUN_ALONE


def test_every_change_of_state_counts_a_revision_and_heartbeats_do_not(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    before = claim.record.revision
    claim.renew()
    claim.verify()
    assert claim.record.revision == before

    event = claim.finish(JobState.DONE, done(job))

    assert claim.record.revision == before + 1
    assert event.id == f"{job.id}:{before + 1}"


def test_an_ended_claim_is_not_written_by_a_late_heartbeat(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    claim.finish(JobState.DONE, done(job))

    claim.renew(stage="transcribe")

    found = bench.records.read(job.id)
    assert found is not None
    assert (found.record.state, found.record.stage) == (JobState.DONE, None)


def test_a_cancellation_reaches_the_holder_with_its_next_renewal(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    cancel(bench.records, job.id)

    with pytest.raises(JobCancelled):
        claim.renew()


def test_a_cancellation_that_comes_after_the_transcript_is_overruled(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    cancel(bench.records, job.id)

    claim.finish(JobState.DONE, done(job))

    found = bench.records.read(job.id)
    assert found is not None
    assert found.record.state is JobState.DONE


def test_a_failed_job_published_anew_starts_afresh(bench: Workbench, job: Job) -> None:
    claim = claimed(bench.claims("w1"), job)
    claim.finish(JobState.DEAD, done(job), failures=5, crashes=2)

    assert not isinstance(bench.claims("w1").acquire(job, make_message(id_="m1"), SOURCE, alone=False), Claim)
    record = claimed(bench.claims("w1"), job, "m2").record

    assert (record.failures, record.crashes, record.attempts) == (0, 0, 1)
    assert record.revision > claim.record.revision


class LosesAnswers(DirectoryStore):
    """A store whose writes land, while their answers get lost and the repetition meets its own work."""

    lose = False

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        info = super().write(uri, body, content_type, condition)
        if self.lose:
            self.lose = False
            raise ConditionFailed("the repetition of a write whose answer was lost")
        return info


@pytest.mark.parametrize("when", ["claim", "renew", "finish"])
def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(bench: Workbench, job: Job, when: str) -> None:
    store = LosesAnswers(bench.clock, 1.0, bench.places.all)
    claims = Claims(JobRecords(store, bench.places.state), "w1", 60.0, bench.clock)
    store.lose = when == "claim"
    claim = claimed(claims, job)
    store.lose = when == "renew"
    claim.renew()
    store.lose = when == "finish"
    claim.finish(JobState.DONE, done(job))

    found = bench.records.read(job.id)
    assert found is not None
    assert found.record == claim.record
