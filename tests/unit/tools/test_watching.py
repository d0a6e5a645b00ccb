"""Looking at jobs and stopping them."""

import pytest

from tests.workbench import Workbench
from transcriber_worker.domain.errors import JobCancelled
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.claims import Claim
from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.storage.base import ConditionFailed, ObjectInfo
from transcriber_worker.tools.submitting import Submitted
from transcriber_worker.tools.watching import cancel, wait_for


def test_there_is_nothing_to_cancel_where_there_is_no_job(bench: Workbench) -> None:
    assert cancel(bench.records, "0a" * 16) is None
    assert cancel(bench.records, "call-4711") is None


def test_a_queued_job_is_cancelled_before_it_begins(bench: Workbench) -> None:
    one = bench.submit(id="call-4711")
    record = cancel(bench.records, "call-4711")
    assert record is not None
    assert record.state is JobState.CANCELLING
    assert bench.attend().ending is Ending.CANCELLED
    assert bench.record(one).state is JobState.CANCELLED
    assert not (bench.folder / "transcripts" / "call.wav.json").exists()


def test_a_running_job_is_told_with_its_next_heartbeat(bench: Workbench) -> None:
    one = bench.submit()
    claim = bench.claims().acquire(one.job, bench.delivery().message, None, alone=False)
    assert isinstance(claim, Claim)
    record = cancel(bench.records, one.job.id)
    assert record is not None
    assert record.state is JobState.CANCELLING
    with pytest.raises(JobCancelled):
        claim.renew()


def test_cancelling_twice_is_cancelling_once(bench: Workbench) -> None:
    one = bench.submit()
    assert cancel(bench.records, one.job.id) == cancel(bench.records, one.job.id)
    assert bench.record(one).revision == 2


@pytest.mark.parametrize(
    ("content", "state"), [(b"1", JobState.DONE), (b"unreadable", JobState.DEAD), (b"1", JobState.CANCELLED)]
)
def test_what_has_ended_stays_as_it_ended(bench: Workbench, content: bytes, state: JobState) -> None:
    one = bench.submit(content)
    if state is JobState.CANCELLED:
        cancel(bench.records, one.job.id)
    bench.attend()
    before = bench.record(one)
    assert before.state is state
    assert cancel(bench.records, one.job.id) == before
    assert bench.record(one) == before


def test_a_record_that_changes_meanwhile_is_looked_at_again(bench: Workbench) -> None:
    """A heartbeat between our look and our write: the cancellation must neither undo it nor get lost."""
    one = bench.submit()
    records = bench.records
    replace = records.replace
    beaten: list[ObjectInfo] = []

    def beat_first(record: JobRecord, etag: str) -> ObjectInfo:
        if not beaten:
            found = records.read(record.job_id)
            assert found is not None
            beaten.append(replace(found.record.model_copy(update={"beat": 7}), found.info.etag))
            with pytest.raises(ConditionFailed):
                replace(record, etag)
        return replace(record, etag)

    records.replace = beat_first  # type: ignore[method-assign]
    record = cancel(records, one.job.id)
    assert record is not None
    assert (record.state, record.beat) == (JobState.CANCELLING, 8)


class Onlooker:
    """Looks on as `wait_for` does, and lets something happen after each look."""

    def __init__(self, bench: Workbench, *happenings: Ending | None) -> None:
        self.bench = bench
        self.happenings = list(happenings)
        self.seen: list[list[JobState | None]] = []

    def look(self, seen: object) -> None:
        assert isinstance(seen, list)
        self.seen.append([record.state if record else None for _, record in seen])
        if self.happenings:
            wanted = self.happenings.pop(0)
            assert self.bench.attend().ending is wanted

    def wait(self, *submitted: Submitted, patience: int = 10) -> list[JobState | None]:
        def give_up() -> bool:
            return len(self.seen) >= patience

        ended = wait_for(self.bench.records, submitted, self.bench.clock, self.look, give_up)
        return [record.state if record else None for record in ended]


def test_waiting_ends_when_every_request_is_answered(bench: Workbench) -> None:
    good = bench.submit(b"1", "a.wav")
    bench.clock.advance(1)
    bad = bench.submit(b"unreadable", "b.wav")
    onlooker = Onlooker(bench, Ending.COMPLETED, Ending.DEAD_LETTERED)
    assert onlooker.wait(good, bad) == [JobState.DONE, JobState.DEAD]
    assert onlooker.seen == [
        [JobState.QUEUED, JobState.QUEUED],
        [JobState.DONE, JobState.QUEUED],
        [JobState.DONE, JobState.DEAD],
    ]


def test_the_answer_to_an_earlier_request_is_no_answer(bench: Workbench) -> None:
    """The same file again: done already, but this message was not answered yet."""
    bench.submit(b"1")
    bench.attend()
    again = bench.resubmit()
    onlooker = Onlooker(bench, Ending.ALREADY_DONE)
    assert onlooker.wait(again) == [JobState.DONE]
    assert len(onlooker.seen) == 2


def test_waiting_ends_where_nobody_will_answer(bench: Workbench) -> None:
    one = bench.submit(b"1")
    assert Onlooker(bench).wait(one, patience=3) == [JobState.QUEUED]


def test_the_last_look_is_after_the_last_sign_of_life(bench: Workbench) -> None:
    """A worker that answers and then ends has answered."""
    one = bench.submit(b"1")

    def answered_and_gone() -> bool:
        assert bench.attend().ending is Ending.COMPLETED
        return True

    ended = wait_for(bench.records, [one], bench.clock, lambda seen: None, answered_and_gone)
    assert [record.state for record in ended if record] == [JobState.DONE]


def test_looking_costs_two_looks_a_second(bench: Workbench) -> None:
    one = bench.submit(b"1")
    begun = bench.clock.now()
    Onlooker(bench).wait(one, patience=5)
    assert bench.clock.now() - begun == pytest.approx(2.5)
