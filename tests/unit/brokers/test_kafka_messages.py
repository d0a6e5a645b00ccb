"""Records of Kafka and our messages."""

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE
from confluent_kafka import Message as Record
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, make_message
from transcriber_worker.brokers.kafka_messages import (
    LONGEST_DELAY_S,
    Headers,
    parcel_of,
    republication,
    wire_headers,
)


def record(value: bytes | None = b"{}", headers: Headers | None = None, written_at: float = NOW) -> Record:
    return Record("jobs", 3, 4711, None, value, headers, None, (TIMESTAMP_CREATE_TIME, int(written_at * 1000)))


def test_a_record_says_where_it_came_from() -> None:
    message = parcel_of(record()).message

    assert message.id == "jobs/3@4711+1750000000000"
    assert message.origin == "kafka:jobs/3@4711"
    assert message.published_at == NOW


def test_a_topic_made_anew_has_other_messages_at_the_same_offsets() -> None:
    """A job's record answers a message that it knows without another try."""
    assert parcel_of(record()).message.id != parcel_of(record(written_at=NOW + 0.001)).message.id


def test_a_record_without_a_time_has_no_age() -> None:
    message = parcel_of(Record("jobs", 3, 4711, None, b"{}", None, None, (TIMESTAMP_NOT_AVAILABLE, 0))).message

    assert (message.id, message.published_at) == ("jobs/3@4711", None)


def test_nothing_was_published_after_it_was_written() -> None:
    """A publisher who says so would make every later request for the same transcript stale."""
    headers = wire_headers({"transcriber-published-at": str(NOW + 1000)})

    assert parcel_of(record(headers=headers)).message.published_at == NOW


def test_no_publisher_can_have_a_message_go_round_for_ever() -> None:
    headers = wire_headers({"not-before": str(NOW * 10)})

    assert parcel_of(record(headers=headers)).not_before == NOW + LONGEST_DELAY_S


def test_a_record_without_a_value_is_an_empty_message() -> None:
    assert parcel_of(record(None)).message.body == b""


def test_headers_that_are_no_text_are_left_out() -> None:
    message = parcel_of(record(headers=[("a", b"\xff\xfe"), ("b", None), ("c", "Ü".encode()), ("c", b"2")])).message

    assert message.headers == {"c": "2"}


@given(st.dictionaries(st.text(min_size=1), st.text()), st.text(min_size=1))
def test_what_is_published_anew_stays_the_same_message(headers: dict[str, str], id_: str) -> None:
    encodable = {name: text.encode("utf-8", "replace").decode() for name, text in headers.items()}
    original = make_message(b"body", id_=id_.encode("utf-8", "replace").decode(), headers=encodable)

    again = parcel_of(record(b"body", republication(original, NOW + 90)))

    assert again.message.id == original.id
    assert again.message.published_at == original.published_at
    assert again.message.headers == encodable
    assert again.not_before == NOW + 90
    assert again.message.origin == "kafka:jobs/3@4711"


@given(st.binary(max_size=20))
def test_a_publisher_s_own_not_before_can_t_do_harm(value: bytes) -> None:
    parcel = parcel_of(record(headers=[("not-before", value), ("transcriber-published-at", value)]))

    assert parcel.not_before is None or 0 < parcel.not_before < 1e11


def test_what_utf_8_can_t_carry_is_sent_all_the_same() -> None:
    assert wire_headers({"a": "x\ud800"}) == [("a", b"x?")]
