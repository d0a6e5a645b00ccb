"""Every way an attempt can end, and what it leaves behind."""

import json
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.workbench import Workbench
from transcriber_worker.brokers.base import Message
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, IgnoreEvent, LeaseLost, Reason, RetryJob, WorkerBroken
from transcriber_worker.domain.job import Format
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.messages.result import EventType, ResultEvent
from transcriber_worker.observability.labels import Ending, Stage
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.storage.base import ObjectInfo
from transcriber_worker.tools.watching import cancel as cancel_job

MakeBench = Callable[..., Workbench]


class HandedDelivery:
    """A `Delivery` of any message one likes."""

    def __init__(self, message: Message) -> None:
        self.message = message

    def extend(self) -> None: ...

    def settle(self) -> None: ...

    def give_back(self, delay_s: float = 0.0) -> None: ...


def die_at(fatal: Milestone) -> Callable[[Milestone], None]:
    def die(milestone: Milestone) -> None:
        if milestone is fatal:
            raise WorkerBroken("killed here")

    return die


def test_a_job_that_goes_well_leaves_outputs_a_record_and_one_event(bench: Workbench) -> None:
    submitted = bench.submit(attributes={"tenant": "a"})

    outcome = bench.attend()

    assert outcome.ending is Ending.COMPLETED
    assert bench.transcript(submitted).fingerprint == bench.record(submitted).fingerprint
    assert bench.output(submitted, Format.VTT).startswith(b"WEBVTT")
    assert bench.record(submitted).state is JobState.DONE
    (event_id,) = bench.results()
    event = ResultEvent.model_validate_json((bench.folder / "spool/results" / f"{event_id}.json").read_bytes())
    assert (event.type, event.data.attributes) == (EventType.COMPLETED, {"tenant": "a"})
    assert set(event.data.outputs) == {"json", "txt", "srt", "vtt"}
    assert bench.queue_is_empty()


def test_milestones_come_in_their_order(bench: Workbench) -> None:
    bench.submit(b"1")

    bench.attend()

    assert [milestone for _, milestone in bench.milestones] == list(Milestone)


def test_stage_seconds_name_every_stage_of_the_journey(bench: Workbench) -> None:
    bench.submit()

    assert set(bench.attend().watch.seconds) == set(Stage)


def test_what_the_file_is_to_blame_for_is_a_dead_letter_at_once(bench: Workbench) -> None:
    submitted = bench.submit(b"unreadable")

    outcome = bench.attend()

    assert (outcome.ending, outcome.reason) == (Ending.DEAD_LETTERED, Reason.MEDIA_UNREADABLE)
    letter = bench.broker.dead_letters.get(submitted.job.id)
    assert letter is not None
    read = DeadLetter.from_bytes(letter.body)
    assert (read.reason, read.stage) == (Reason.MEDIA_UNREADABLE, Stage.OPEN)
    assert json.loads(read.original_body() or b"")["source"] == str(submitted.job.source)
    assert bench.record(submitted).state is JobState.DEAD
    assert bench.queue_is_empty()


@pytest.mark.parametrize("content", [b"flaky", b"bug"])
def test_what_may_pass_is_tried_again_up_to_the_bound(make_bench: MakeBench, content: bytes) -> None:
    bench = make_bench(worker={"max_attempts": 3})
    submitted = bench.submit(content)

    endings = bench.endings_until_settled()

    assert endings == [Ending.RETRIED, Ending.RETRIED, Ending.DEAD_LETTERED]
    error = bench.record(submitted).error
    assert error is not None
    assert error.reason == Reason.TOO_MANY_ATTEMPTS


def test_a_retry_waits_longer_after_every_failure(make_bench: MakeBench) -> None:
    bench = make_bench(worker={"backoff_s": 8.0, "max_backoff_s": 20.0})
    bench.submit(b"flaky")

    delays = []
    for _ in range(3):
        bench.clock.advance(20.0)
        delays.append(bench.attend().delay_s or 0.0)

    assert 4.0 <= delays[0] <= 8.0
    assert 8.0 <= delays[1] <= 16.0
    assert 10.0 <= delays[2] <= 20.0


def test_a_bug_keeps_its_traceback(bench: Workbench) -> None:
    bench.submit(b"bug")

    assert isinstance(bench.attend().error, ZeroDivisionError)


def test_success_resolves_the_letter_of_an_earlier_try(bench: Workbench) -> None:
    submitted = bench.submit(b"unreadable")
    bench.attend()
    bench.clock.advance(1.0)

    bench.submit(b"1")
    outcome = bench.attend()

    assert outcome.ending is Ending.COMPLETED
    assert bench.broker.dead_letters.get(submitted.job.id) is None


def test_a_letter_is_resolved_though_the_worker_died_before_it_could(bench: Workbench) -> None:
    submitted = bench.submit(b"unreadable")
    bench.attend()
    bench.clock.advance(1.0)
    bench.submit(b"1")
    bench.on_milestone = die_at(Milestone.ANNOUNCED)
    with pytest.raises(WorkerBroken):
        bench.attend()
    bench.clock.advance(bench.settings.broker.directory.lease_s + 1)

    outcome = bench.attend()

    assert outcome.ending is Ending.ALREADY_DONE
    assert bench.broker.dead_letters.get(submitted.job.id) is None


def test_a_job_never_given_up_asks_for_no_letter(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a topic or a bucket each look for a letter is a request."""
    monkeypatch.setattr(type(bench.broker.dead_letters), "resolve", None)
    bench.submit(b"1")

    assert bench.attend().ending is Ending.COMPLETED


def test_a_request_sent_again_after_its_transcript_is_only_answered_again(bench: Workbench) -> None:
    submitted = bench.submit()
    bench.attend()
    before, results = bench.output(submitted, Format.JSON), bench.results()

    again = bench.resubmit()
    outcome = bench.attend()

    assert outcome.ending is Ending.ALREADY_DONE
    assert bench.output(submitted, Format.JSON) == before
    assert bench.results() == results, "the same event with the same id"
    assert bench.record(again).message_id == again.message_id, "whoever waits for it is told"


def test_other_options_make_a_new_transcript(bench: Workbench) -> None:
    bench.submit()
    bench.attend()
    bench.clock.advance(1.0)

    again = bench.resubmit(language="de")

    assert bench.attend().ending is Ending.COMPLETED
    assert bench.transcript(again).language == "de"


def test_an_older_request_never_overwrites_a_newer_one(bench: Workbench) -> None:
    older = bench.submit(language="de")
    kept = bench.delivery()
    bench.clock.advance(1.0)
    newer = bench.resubmit(language="fr")
    bench.attend()

    outcome = bench.attend(kept)

    assert outcome.ending is Ending.ALREADY_DONE
    assert bench.transcript(older) == bench.transcript(newer)
    assert bench.transcript(newer).language == "fr"


def test_a_job_that_another_worker_holds_is_kept_for_later(bench: Workbench) -> None:
    submitted = bench.submit()
    delivery = bench.delivery()
    other = bench.claims("w2").acquire(submitted.job, delivery.message, None, alone=False)
    assert not isinstance(other, str)

    assert bench.attend(delivery).ending is Ending.HELD_ELSEWHERE


def test_a_transcript_committed_before_a_crash_is_not_made_again(bench: Workbench) -> None:
    submitted = bench.submit()
    delivery = bench.delivery()

    def die(milestone: Milestone) -> None:
        if milestone is Milestone.COMMITTED:
            raise WorkerBroken("killed here")

    bench.on_milestone = die
    with pytest.raises(WorkerBroken):
        bench.attend(delivery)
    committed = bench.output(submitted, Format.JSON)
    bench.on_milestone = lambda milestone: None
    bench.clock.advance(1000.0)

    outcome = bench.attend(worker=bench.worker("w2"), alone=True)

    assert outcome.ending is Ending.COMPLETED
    assert bench.output(submitted, Format.JSON) == committed
    assert bench.transcript(submitted).attempt.id.encode() in bench.output(submitted, Format.SRT)


def test_a_suspect_waits_until_it_can_run_alone(bench: Workbench) -> None:
    bench.submit(b"broken")
    with pytest.raises(WorkerBroken):
        bench.attend()
    bench.clock.advance(1000.0)
    delivery = bench.delivery()

    assert bench.attend(delivery, bench.worker("w2")).ending is Ending.MUST_RUN_ALONE


def test_only_dying_alone_counts_and_the_bound_ends_it(make_bench: MakeBench) -> None:
    bench = make_bench(worker={"max_crashes": 2})
    submitted = bench.submit(b"broken")
    for number in range(3):
        with pytest.raises(WorkerBroken):
            bench.attend(worker=bench.worker(f"w{number}"), alone=number > 0)
        bench.clock.advance(1000.0)

    outcome = bench.attend(worker=bench.worker("w9"), alone=True)

    assert (outcome.ending, outcome.reason) == (Ending.DEAD_LETTERED, Reason.TOO_MANY_CRASHES)
    assert (bench.record(submitted).crashes, bench.record(submitted).failures) == (2, 0)


def test_an_outage_charges_nothing_and_keeps_the_message(bench: Workbench) -> None:
    submitted = bench.submit(b"outage")

    outcome = bench.attend()

    assert (outcome.ending, outcome.message) == (Ending.ENVIRONMENT_DOWN, "the scratch disk is gone")
    record = bench.record(submitted)
    assert (record.state, record.failures, record.suspect) == (JobState.QUEUED, 0, False)


def test_a_hand_back_charges_nothing_and_frees_the_job_at_once(bench: Workbench) -> None:
    submitted = bench.submit()
    cancel = CancelToken()
    cancel.cancel(HandBack())

    assert bench.attend(cancel=cancel).ending is Ending.HANDED_BACK

    record = bench.record(submitted)
    assert (record.state, record.failures, record.suspect) == (JobState.QUEUED, 0, False)
    assert bench.attend(worker=bench.worker("w2")).ending is Ending.COMPLETED


def test_a_lost_lease_writes_nothing(bench: Workbench) -> None:
    submitted = bench.submit()
    cancel = CancelToken()
    cancel.cancel(LeaseLost())

    assert bench.attend(cancel=cancel).ending is Ending.LEASE_LOST
    assert bench.results() == []
    assert not submitted.job.output_for(Format.JSON).path.exists()


def test_a_zombie_that_lost_its_claim_while_it_heard_commits_nothing(bench: Workbench) -> None:
    submitted = bench.submit()
    delivery = bench.delivery()

    def another_takes_over(milestone: Milestone) -> None:
        if milestone is Milestone.ASSEMBLED:
            bench.on_milestone = lambda milestone: None
            bench.clock.advance(1000.0)
            assert bench.attend(worker=bench.worker("w2"), alone=True).ending is Ending.COMPLETED

    bench.on_milestone = another_takes_over
    outcome = bench.attend(delivery)

    assert outcome.ending is Ending.LEASE_LOST
    assert bench.transcript(submitted).attempt.worker == "w2"
    assert len(bench.results()) == 1


def test_a_job_cancelled_before_it_began_is_settled_without_a_transcript(bench: Workbench) -> None:
    submitted = bench.submit(id="my-own-id")
    cancel_job(bench.records, "my-own-id")

    assert bench.attend().ending is Ending.CANCELLED
    assert bench.record(submitted).state is JobState.CANCELLED
    assert bench.queue_is_empty()
    (event_id,) = bench.results()
    event = ResultEvent.model_validate_json((bench.folder / "spool/results" / f"{event_id}.json").read_bytes())
    assert event.data.error is not None
    assert event.data.error.reason == "cancelled"


def test_a_job_cancelled_while_it_runs_is_stopped_by_the_heartbeat(bench: Workbench) -> None:
    submitted = bench.submit(b"3")
    heartbeat = bench.heartbeat()

    def cancel_and_beat(milestone: Milestone) -> None:
        if milestone is Milestone.WINDOW_HEARD:
            cancel_job(bench.records, submitted.job.id)
            heartbeat.extend_messages()
            heartbeat.renew_claims()

    bench.on_milestone = cancel_and_beat
    assert bench.attend(worker=bench.worker(heartbeat=heartbeat)).ending is Ending.CANCELLED
    assert bench.record(submitted).state is JobState.CANCELLED


def test_garbage_is_dead_lettered_under_a_hash_and_announced(bench: Workbench) -> None:
    bench.broker.publish(b"\xff\x00 not JSON", {})

    outcome = bench.attend()

    assert (outcome.ending, outcome.reason) == (Ending.DEAD_LETTERED, Reason.INVALID_REQUEST)
    (letter,) = bench.broker.dead_letters.list()
    assert DeadLetter.from_bytes(letter.body).original_body() == b"\xff\x00 not JSON"
    assert len(bench.results()) == 1
    assert bench.queue_is_empty()


def test_a_large_body_is_kept_by_reference(bench: Workbench) -> None:
    body = b"x" * 100_000
    bench.broker.publish(body, {})
    bench.attend()

    (letter,) = bench.broker.dead_letters.list()

    read = DeadLetter.from_bytes(letter.body)
    assert read.original_body() is None
    assert bench.store.read(bench.uri(read.body_uri or ""))[0] == body


def test_headers_that_no_letter_can_carry_are_left_out_of_it(bench: Workbench) -> None:
    """A letter too large for the broker is never written, and its message never settled."""
    bench.broker.publish(b"garbage", {"large": '"' * 20_000, "traceparent": "00-1-2-01"})
    bench.attend()

    (letter,) = bench.broker.dead_letters.list()

    assert DeadLetter.from_bytes(letter.body).headers == {"traceparent": "00-1-2-01"}


def test_a_message_from_the_future_does_not_outdate_the_next_one(bench: Workbench) -> None:
    """Its publisher's clock, or its publisher, is wrong."""
    submitted = bench.submit(b"2")
    delivery = bench.delivery()
    early = replace(delivery.message, published_at=bench.clock.now() + 1_000_000)
    delivery.settle()
    bench.attend(HandedDelivery(early))
    bench.clock.advance(60)

    bench.submit(b"3")
    bench.attend()

    assert bench.transcript(submitted).duration.audio_s == 30


def test_a_newer_contract_version_is_left_to_a_newer_worker_within_the_bound(make_bench: MakeBench) -> None:
    bench = make_bench(worker={"max_attempts": 3})
    bench.broker.publish(b'{"version": 2, "source": "file:///x", "new_key": 1}', {})

    assert bench.endings_until_settled() == [Ending.RETRIED, Ending.RETRIED, Ending.DEAD_LETTERED]
    (letter,) = bench.broker.dead_letters.list()
    assert DeadLetter.from_bytes(letter.body).reason is Reason.UNSUPPORTED_VERSION


def test_a_missing_source_is_a_dead_letter(bench: Workbench) -> None:
    submitted = bench.submit()
    submitted.job.source.path.unlink()

    assert bench.attend().reason is Reason.SOURCE_NOT_FOUND


def test_a_source_over_the_limit_is_not_downloaded(make_bench: MakeBench) -> None:
    bench = make_bench(storage={"max_source_bytes": 3})
    bench.submit(b"12345")

    outcome = bench.attend()

    assert (outcome.reason, outcome.findings.source_bytes) == (Reason.SOURCE_TOO_LARGE, 0)


def test_a_source_that_changes_while_it_is_read_is_read_again(bench: Workbench) -> None:
    submitted = bench.submit(b"1")

    def change(milestone: Milestone) -> None:
        if milestone is Milestone.CLAIMED:
            submitted.job.source.path.write_bytes(b"22")
            bench.on_milestone = lambda milestone: None

    bench.on_milestone = change

    assert bench.attend().ending is Ending.RETRIED


def test_an_event_of_a_version_that_was_overwritten_is_ignored(bench: Workbench) -> None:
    job = replace(bench.submit().job, source_etag="the version before")

    with pytest.raises(IgnoreEvent, match="superseded"):
        bench.journey().look(job)


def test_a_bug_outside_the_journey_is_bounded_too(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(worker={"max_attempts": 2})
    bench.submit()

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("transcriber_worker.pipeline.claims.Claims.acquire", broken)

    assert bench.endings_until_settled() == [Ending.RETRIED, Ending.DEAD_LETTERED]
    (letter,) = bench.broker.dead_letters.list()
    assert DeadLetter.from_bytes(letter.body).reason is Reason.TOO_MANY_ATTEMPTS


@pytest.mark.parametrize("output", [".state/jobs/", ".writing/", "calls/.state/"])
def test_no_publisher_writes_among_the_workers_own_files(bench: Workbench, output: str) -> None:
    """A transcript named like a job's record would be that record."""
    wanted = str(bench.places.output) + output
    source = str(bench.submit().job.source)
    bench.attend()
    bench.broker.publish(json.dumps({"source": source, "output": wanted}).encode(), {})

    assert bench.attend().reason is Reason.OUTPUT_NOT_ALLOWED


def test_a_source_named_like_a_record_is_refused_too(bench: Workbench) -> None:
    source = str(bench.places.rules.sources[0]) + ".state/jobs/0123.wav"
    bench.broker.publish(json.dumps({"source": source}).encode(), {})

    assert bench.attend().reason is Reason.OUTPUT_NOT_ALLOWED


def test_a_source_that_can_not_be_seen_now_does_not_answer_a_new_request(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is done for other options; the store stumbles once over the source."""
    bench.submit()
    bench.attend()
    bench.clock.advance(1.0)
    again = bench.resubmit(language="de")
    head = bench.store.head

    def stumble(uri: ObjectUri) -> ObjectInfo:
        if uri == again.job.source:
            raise RetryJob("the store stumbled")
        return head(uri)

    monkeypatch.setattr(bench.store, "head", stumble)
    assert bench.attend().ending is Ending.RETRIED
    monkeypatch.setattr(bench.store, "head", head)
    bench.clock.advance(1000.0)

    assert bench.attend().ending is Ending.COMPLETED
    assert bench.transcript(again).language == "de"


def test_another_recording_under_the_same_name_is_transcribed_however_old_it_is(bench: Workbench) -> None:
    bench.submit(b"2")
    bench.attend()
    bench.clock.advance(10.0)
    submitted = bench.submit(b"5")
    path = submitted.job.source.path
    os.utime(path, (1.0, 1.0))

    assert bench.attend().ending is Ending.COMPLETED
    assert bench.transcript(submitted).duration.audio_s == 50.0


def test_a_format_that_was_not_written_yet_is_rendered_from_the_transcript(bench: Workbench) -> None:
    first = bench.submit(formats=["json"])
    bench.attend()
    before = bench.output(first, Format.JSON)
    bench.clock.advance(1.0)

    again = bench.resubmit(formats=["srt"])

    assert bench.attend().ending is Ending.COMPLETED
    assert bench.output(again, Format.JSON) == before, "heard once"
    assert bench.output(again, Format.SRT)


def test_a_second_publisher_gets_an_answer_of_its_own(bench: Workbench) -> None:
    bench.submit(id="a-1", attributes={"tenant": "a"})
    bench.attend()
    bench.clock.advance(1.0)
    bench.resubmit(id="b-1", attributes={"tenant": "b"})

    assert bench.attend().ending is Ending.ALREADY_DONE

    events = [ResultEvent.model_validate_json(path.read_bytes()) for path in bench.result_files()]
    assert {(event.data.request_id, event.data.attributes["tenant"]) for event in events} == {
        ("a-1", "a"),
        ("b-1", "b"),
    }
    assert len({event.id for event in events}) == 2
    assert bench.records.find("b-1") is not None


def test_a_version_no_number_can_tell_is_refused_like_any_other(bench: Workbench) -> None:
    bench.broker.publish(b'{"version": 1' + b"0" * 4000 + b"}", {})

    assert bench.attend().ending in (Ending.RETRIED, Ending.DEAD_LETTERED)
