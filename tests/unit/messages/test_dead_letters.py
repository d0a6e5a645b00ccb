"""Dead letters carry all that is needed to try a message again."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.builders import NOW
from transcriber_worker.domain.errors import Reason
from transcriber_worker.messages import SCHEMAS
from transcriber_worker.messages.dead_letter import DeadLetter, inline_body


def letter(body: bytes = b"{}", body_uri: str | None = None, **fields: Any) -> DeadLetter:
    return DeadLetter(
        **{
            "id": "0a" * 16,
            "request_id": "call-4711",
            "reason": Reason.MEDIA_UNREADABLE,
            "message": "not audio",
            "stage": "open",
            "attempts": 1,
            "crashes": 0,
            "origin": "spool:inbox/call.json",
            "worker": "w1",
            "time": datetime.fromtimestamp(NOW, UTC),
            **({"body_uri": body_uri} if body_uri else inline_body(body)),
            "headers": {"traceparent": "00-x"},
            **fields,
        }
    )


@given(st.binary() | st.text().map(str.encode))
def test_a_body_comes_back_byte_for_byte(body: bytes) -> None:
    assert DeadLetter.from_bytes(letter(body).to_bytes()).original_body() == body


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf{}", b"a\x00b\r\n", b'{"source": "\xc3\xa9"}'])
def test_text_stays_readable(body: bytes) -> None:
    written = json.loads(letter(body).to_bytes())
    assert written["body"].encode() == body
    assert "body_base64" not in written


def test_bytes_are_written_as_base64() -> None:
    assert json.loads(letter(b"\xff\x00").to_bytes())["body_base64"] == "/wA="


def test_a_large_body_is_named_by_its_place() -> None:
    read = DeadLetter.from_bytes(letter(b"x" * 100_000, "file:///state/bodies/0a").to_bytes())
    assert read.body_uri == "file:///state/bodies/0a"
    assert read.original_body() is None
    assert len(read.to_bytes()) < 1000


def test_everything_else_comes_back_too() -> None:
    written = letter()
    assert DeadLetter.from_bytes(written.to_bytes()) == written


@pytest.mark.parametrize("written", [letter(b"{}"), letter(b"\xff"), letter(b"", "file:///x")])
def test_a_letter_is_valid_by_its_schema(written: DeadLetter) -> None:
    schema = SCHEMAS["dead-letter"].model_json_schema(mode="serialization")
    Draft202012Validator(schema).validate(json.loads(written.to_bytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        {"body": None},
        {"body_base64": "e30="},
        {"body_uri": "file:///x"},
        {"body": None, "body_base64": "not base64!"},
        {"reason": "because"},
        {"version": 2},
        {"extra": 1},
        {"time": "yesterday"},
    ],
)
def test_what_is_no_letter_of_ours_is_refused(spoil: dict[str, Any]) -> None:
    fields = {**json.loads(letter().to_bytes()), **spoil}
    with pytest.raises(ValueError, match="not a dead letter"):
        DeadLetter.from_bytes(json.dumps(fields).encode())


@given(st.binary())
def test_any_bytes_are_a_letter_or_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a dead letter"):
        DeadLetter.from_bytes(body)
