"""Result events: their envelope, and that they stay under 64 KB whatever a publisher and a store make of names."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.builders import NOW
from transcriber_worker.domain.job import Format
from transcriber_worker.messages import SCHEMAS
from transcriber_worker.messages.result import (
    MAX_EVENT_BYTES,
    EventType,
    ProgressData,
    ResultData,
    ResultEvent,
    failure,
    result_event,
)


def data(**fields: Any) -> ResultData:
    return ResultData(
        **{"job_id": "0a" * 16, "request_id": "", "seq": 1, "source": "file:///a.wav", "attempt": 1, **fields}
    )


def event(type_: EventType = EventType.COMPLETED, **fields: Any) -> ResultEvent:
    return result_event("0a:1", type_, data(**fields), now=NOW, traceparent=None)


def told(event: ResultEvent) -> dict[str, Any]:
    body = event.to_bytes()
    assert len(body) < MAX_EVENT_BYTES
    fields: dict[str, Any] = json.loads(body)
    return fields


@pytest.mark.parametrize(
    "made",
    [
        event(outputs={"json": "file:///a.wav.json"}, language="pt", audio_s=1.5, no_speech=False, warnings=("gap",)),
        event(EventType.FAILED, error=failure("media_unreadable", "no audio", "open")),
        event(EventType.PROGRESS, progress=ProgressData(percent=50, eta_s=None), attributes={"tenant": "a"}),
    ],
)
def test_every_kind_of_event_is_a_cloud_event_by_its_schema(made: ResultEvent) -> None:
    schema = SCHEMAS["result-event"].model_json_schema(mode="serialization")
    Draft202012Validator(schema).validate(json.loads(made.model_dump_json()))
    fields = told(made)
    assert (fields["specversion"], fields["id"], fields["subject"]) == ("1.0", "0a:1", "0a" * 16)
    assert fields["type"].startswith("transcription.")
    assert fields["time"] == "2025-06-15T15:06:40Z"
    assert fields["data"]["version"] == 1


def test_what_is_unknown_is_left_out() -> None:
    assert "error" not in told(event())["data"]


def test_attributes_are_echoed_as_long_as_they_fit() -> None:
    attributes = {f"key{n}": "x" * 1000 for n in range(32)}
    assert told(event(attributes=attributes))["data"]["attributes"] == attributes


def test_attributes_give_way_first() -> None:
    outputs = {format_.value: f"file:///{'x' * 4000}.{format_}" for format_ in Format}
    fields = told(event(attributes={f"key{n}": "é" * 1000 for n in range(32)}, outputs=outputs))
    assert fields["data"]["outputs"] == outputs
    assert fields["data"]["attributes"] == {}


def test_of_outputs_too_long_for_an_event_the_commit_point_stays() -> None:
    outputs = {format_.value: f"oci://b@n/{'x' * 20_000}.{format_}" for format_ in Format}
    assert told(event(outputs=outputs))["data"]["outputs"] == {"json": outputs["json"]}


def test_an_event_of_exactly_64_kb_is_too_long() -> None:
    rest = len(event(attributes={"k": ""}).to_bytes())
    longest = event(attributes={"k": "x" * (MAX_EVENT_BYTES - 1 - rest)})
    assert len(longest.to_bytes()) == MAX_EVENT_BYTES - 1
    assert told(longest)["data"]["attributes"]
    assert not told(event(attributes={"k": "x" * (MAX_EVENT_BYTES - rest)}))["data"]["attributes"]


@given(
    st.dictionaries(st.text(max_size=200), st.integers(0, 1000).map("\x01".__mul__), max_size=32),
    st.integers(0, 50_000),
    st.sampled_from(["x", "é", "\N{SLEEPING SYMBOL}", "\x01"]),
)
def test_an_event_is_always_under_64_kb(attributes: dict[str, str], length: int, character: str) -> None:
    text = character * length
    fields = told(
        event(
            attributes=attributes,
            outputs={format_.value: text for format_ in Format},
            error=failure("x", text, "open"),
            warnings=tuple(f"warning_{n}" for n in range(length)),
        )
    )
    assert fields["data"]["job_id"] == "0a" * 16


def test_warnings_are_told_once_each() -> None:
    assert told(event(warnings=("gap", "gap", "damaged")))["data"]["warnings"] == ["gap", "damaged"]
