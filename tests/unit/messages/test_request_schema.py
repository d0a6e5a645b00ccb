"""The generated JSON Schemas, which publishers and readers check their messages against."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.builders import make_request
from transcriber_worker.messages import SCHEMAS

DESIGN_EXAMPLE = {
    "version": 1,
    "id": "call-4711",
    "source": "oci://bucket@namespace/path/call.mp3",
    "output": "oci://transcripts@namespace/calls/",
    "language": "pt",
    "languages": [],
    "task": "transcribe",
    "formats": ["json", "txt", "srt", "vtt"],
    "word_timestamps": False,
    "channels": "mix",
    "clip": None,
    "prompt": None,
    "hotwords": [],
    "speed": 1.0,
    "priority": "normal",
    "deadline_s": None,
    "reply_to": None,
    "attributes": {"tenant": "a"},
}
"""The request that the public contract shows, with every key."""


def validator() -> Draft202012Validator:
    schema = SCHEMAS["request"].model_json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_contracts_own_example_is_valid_by_schema_and_by_model() -> None:
    validator().validate(DESIGN_EXAMPLE)
    assert set(DESIGN_EXAMPLE) == set(SCHEMAS["request"].model_fields)
    SCHEMAS["request"].model_validate(DESIGN_EXAMPLE)


def test_a_source_alone_is_valid() -> None:
    validator().validate({"source": "oci://bucket@namespace/path/call.mp3"})


@pytest.mark.parametrize(
    "changes",
    [
        {"sourse": "x"},
        {"version": 2},
        {"speed": 4},
        {"speed": "1"},
        {"word_timestamps": "no"},
        {"task": "summarise"},
        {"reply_to": "../x"},
        {"clip": {"start_s": 1}},
        {"clip": {"start_s": 1, "end_s": 2, "x": 3}},
        {"attributes": {"a": 1}},
        {"id": "a\tb"},
        {"formats": ["pdf"]},
    ],
)
def test_what_the_model_refuses_the_schema_refuses_too(changes: dict[str, Any]) -> None:
    fields = make_request(**changes)
    assert not validator().is_valid(fields)
    with pytest.raises(ValueError, match="validation error"):
        SCHEMAS["request"].model_validate(json.loads(json.dumps(fields)))
