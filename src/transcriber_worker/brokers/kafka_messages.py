"""Between our messages and Kafka's records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE
from confluent_kafka import Message as Record

from transcriber_worker.brokers.base import Message

NOT_BEFORE = "not-before"
"""Unix seconds before which a message that was published anew must not be tried."""
LONGEST_DELAY_S = 43_200.0
"""Counted from its record: whoever wants a message to wait for years would have it published anew for years."""
_MESSAGE_ID = "transcriber-message-id"
_PUBLISHED_AT = "transcriber-published-at"
_OURS = (NOT_BEFORE, _MESSAGE_ID, _PUBLISHED_AT)

Headers = list[tuple[str, str | bytes | None]]


@dataclass(slots=True, eq=False)
class Parcel:
    """One message as it lies in its partition. `timestamp_ms` tells it from a message that has the same offset since
    the topic was made anew."""

    message: Message
    partition: int
    offset: int
    timestamp_ms: int
    not_before: float | None = None
    """Unix seconds."""
    wait_until: float = field(default=0.0, compare=False)
    """While it is held: until when, on the monotonic clock."""


def parcel_of(record: Record) -> Parcel:
    """The message in a record without error."""
    partition, offset = record.partition() or 0, record.offset() or 0
    kind, timestamp_ms = record.timestamp()
    headers = text_headers(record.headers() or ())
    told_at, not_before = _number(headers.get(_PUBLISHED_AT)), _number(headers.get(NOT_BEFORE))
    recorded_at = None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms / 1000
    if recorded_at is not None:
        # A copy is younger than what it is a copy of, whatever its headers say.
        told_at = recorded_at if told_at is None else min(told_at, recorded_at)
        not_before = None if not_before is None else min(not_before, recorded_at + LONGEST_DELAY_S)
    message = Message(
        id=headers.get(_MESSAGE_ID) or message_id(record),
        body=record.value() or b"",
        published_at=told_at,
        origin=f"kafka:{_place(record)}",
        headers={name: value for name, value in headers.items() if name not in _OURS},
    )
    return Parcel(message, partition, offset, timestamp_ms, not_before)


def message_id(record: Record) -> str:
    """Names a record for good: by its timestamp too, since a topic made anew begins again at offset 0."""
    kind, timestamp_ms = record.timestamp()
    return _place(record) if kind == TIMESTAMP_NOT_AVAILABLE else f"{_place(record)}+{timestamp_ms}"


def _place(record: Record) -> str:
    return f"{record.topic()}/{record.partition() or 0}@{record.offset() or 0}"


def republication(message: Message, not_before: float) -> Headers:
    """The headers under which a message is published anew and stays the same message."""
    ours = {NOT_BEFORE: f"{not_before:.3f}", _MESSAGE_ID: message.id}
    if message.published_at is not None:
        ours[_PUBLISHED_AT] = f"{message.published_at:.3f}"
    return wire_headers({**message.headers, **ours})


def wire_headers(headers: Mapping[str, str]) -> Headers:
    """Headers as bytes; what UTF-8 can't carry becomes question marks."""
    return [(name, value.encode("utf-8", "replace")) for name, value in headers.items()]


def text_headers(headers: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> dict[str, str]:
    """Headers as text, the last of a name; those without a value or not in UTF-8 left out."""
    found = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        try:
            found[name] = value if isinstance(value, str) else value.decode("utf-8")
        except (UnicodeDecodeError, AttributeError):
            continue
    return found


def _number(text: str | None) -> float | None:
    """A publisher may write anything there."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e11 else None
