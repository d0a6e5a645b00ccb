"""Records of Kafka and our messages."""

from confluent_kafka import Message as Record
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, make_message
from transcriber_worker.brokers.kafka_messages import Headers, parcel_of, republication, wire_headers


def record(value: bytes | None = b"{}", headers: Headers | None = None) -> Record:
    return Record("jobs", 3, 4711, None, value, headers, None, (1, int(NOW * 1000)))


def test_a_record_says_where_it_came_from() -> None:
    message = parcel_of(record()).message

    assert message.id == "jobs/3@4711"
    assert message.origin == "kafka:jobs/3@4711"
    assert message.published_at == NOW


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
