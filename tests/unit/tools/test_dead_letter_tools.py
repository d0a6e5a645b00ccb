"""Dead letters: finding them, and sending their messages again."""

import json

import pytest

from tests.workbench import Workbench
from transcriber_worker.brokers.base import Letter
from transcriber_worker.domain.errors import Reason
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.storage.base import ObjectNotFound
from transcriber_worker.tools.letters import MessageGone, all_letters, find_letter, redrive


def buried(bench: Workbench, name: str = "call.wav", **options: object) -> DeadLetter:
    one = bench.submit(b"unreadable", name, **options)
    assert bench.attend().ending is Ending.DEAD_LETTERED
    letter = find_letter(bench.broker, one.job.id)
    assert letter is not None
    return letter


def test_letters_come_oldest_first_and_what_is_none_is_passed_over(bench: Workbench) -> None:
    first = buried(bench, "b.wav")
    bench.clock.advance(1)
    bench.broker.dead_letters.put(Letter("garbage", b"{}"))
    bench.clock.advance(1)
    second = buried(bench, "a.wav")
    assert list(all_letters(bench.broker)) == [first, second]


def test_a_letter_is_found_by_its_own_id_and_by_its_requests(bench: Workbench) -> None:
    letter = buried(bench, id="call/4711 é")
    assert find_letter(bench.broker, "call/4711 é") == letter
    assert find_letter(bench.broker, letter.id) == letter


@pytest.mark.parametrize("id_", ["", "call-4711", "0a" * 16, "../../etc/passwd", "é" * 200, "x" * 5000])
def test_there_may_be_no_such_letter(bench: Workbench, id_: str) -> None:
    buried(bench)
    assert find_letter(bench.broker, id_) is None


def test_garbage_under_a_letters_id_is_no_letter(bench: Workbench) -> None:
    bench.broker.dead_letters.put(Letter("0a" * 16, b"garbage"))
    assert find_letter(bench.broker, "0a" * 16) is None


def test_a_redriven_message_is_tried_with_its_attempts_forgotten(bench: Workbench) -> None:
    bench.submit(b"flaky")
    endings = bench.endings_until_settled()
    assert endings == [*[Ending.RETRIED] * 4, Ending.DEAD_LETTERED]
    (letter,) = all_letters(bench.broker)
    assert letter.reason is Reason.TOO_MANY_ATTEMPTS
    redrive(bench.broker, bench.store, letter)
    assert list(all_letters(bench.broker)) == []
    assert bench.endings_until_settled() == endings


def test_a_redriven_message_that_succeeds_leaves_no_letter(bench: Workbench) -> None:
    letter = buried(bench)
    audio = bench.folder / "spool" / "audio" / "call.wav"
    audio.write_bytes(b"2")
    message_id = redrive(bench.broker, bench.store, letter)
    delivery = bench.delivery()
    assert (delivery.message.id, delivery.message.body) == (message_id, letter.original_body())
    assert bench.attend(delivery).ending is Ending.COMPLETED
    found = bench.records.read(letter.id)
    assert found is not None
    assert found.record.state is JobState.DONE
    assert list(all_letters(bench.broker)) == []


def test_headers_go_with_a_redriven_message(bench: Workbench) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    bench.broker.publish(b"garbage", headers)
    bench.attend()
    (letter,) = all_letters(bench.broker)
    redrive(bench.broker, bench.store, letter)
    message = bench.delivery().message
    assert (message.body, message.headers) == (b"garbage", headers)


def test_a_large_body_is_fetched_from_where_it_was_kept(bench: Workbench) -> None:
    body = json.dumps({"sourse": "x" * 100_000}).encode()
    bench.broker.publish(body, {})
    bench.attend()
    (letter,) = all_letters(bench.broker)
    assert letter.body_uri is not None
    redrive(bench.broker, bench.store, letter)
    assert bench.delivery().message.body == body
    with pytest.raises(ObjectNotFound):
        bench.store.head(bench.uri(letter.body_uri))


def test_a_body_that_is_gone_leaves_the_letter_and_says_so(bench: Workbench) -> None:
    bench.broker.publish(b"x" * 100_000, {})
    bench.attend()
    (letter,) = all_letters(bench.broker)
    assert letter.body_uri is not None
    bench.store.delete(bench.uri(letter.body_uri))
    with pytest.raises(MessageGone, match="bodies"):
        redrive(bench.broker, bench.store, letter)
    assert list(all_letters(bench.broker)) == [letter]
    assert bench.queue_is_empty()


def test_a_letter_that_a_worker_wrote_meanwhile_stays(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message fails again before the old letter is removed: that letter is news."""
    letter = buried(bench)
    publish = bench.broker.publish

    def publish_and_fail(body: bytes, headers: dict[str, str]) -> str:
        message_id = publish(body, headers)
        bench.clock.advance(1)
        assert bench.attend().ending is Ending.DEAD_LETTERED
        return message_id

    monkeypatch.setattr(bench.broker, "publish", publish_and_fail)
    redrive(bench.broker, bench.store, letter)
    (left,) = all_letters(bench.broker)
    assert left.time > letter.time
