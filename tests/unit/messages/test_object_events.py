"""OCI Object Storage events, as they come and however they are wrapped, and bodies that are nothing we know."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import make_request, make_rules
from transcriber_worker.domain.errors import IgnoreEvent, Reason, RejectJob
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.messages.events import MAX_BODY_BYTES, parse_job

RULES = make_rules(("oci://calls@ns/", "file:///data/audio/"), ("oci://out@ns/calls/", "oci://calls@ns/done/"))
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def parse(body: Any, headers: dict[str, str] | None = None) -> Job:
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return parse_job(body, headers or {}, RULES, published_at=5.0)


def refusal(body: Any) -> RejectJob:
    with pytest.raises(RejectJob) as caught:
        parse(body)
    assert caught.value.reason is Reason.INVALID_REQUEST
    return caught.value


def ignored(body: Any) -> str:
    with pytest.raises(IgnoreEvent) as caught:
        parse(body)
    return caught.value.reason


def event_0_1(name: str = "in/call.mp3", kind: str = "createobject", **details: Any) -> dict[str, Any]:
    """As captured from the service: CloudEvents 0.1."""
    return {
        "eventType": f"com.oraclecloud.objectstorage.{kind}",
        "cloudEventsVersion": "0.1",
        "eventTypeVersion": "2.0",
        "source": "ObjectStorage",
        "eventTime": "2020-01-21T16:26:30.849Z",
        "contentType": "application/json",
        "data": {
            "compartmentId": "ocid1.compartment.oc1..x",
            "compartmentName": "DevOps",
            "resourceName": name,
            "resourceId": f"/n/ns/b/calls/o/{name}",
            "availabilityDomain": "FRA-AD-1",
            "additionalDetails": {
                "bucketName": "calls",
                "archivalState": "Available",
                "namespace": "ns",
                "bucketId": "ocid1.bucket.oc1.eu-frankfurt-1.x",
                "eTag": "199f8dbf-0b8c-41b6-9596-4d2a6792d7e5",
                **details,
            },
        },
        "eventID": "3e47d127-19de-6eb8-eb67-0c1ab961fcbc",
        "extensions": {"compartmentId": "ocid1.compartment.oc1..x"},
    }


def event_1_0(name: str = "in/call.mp3", kind: str = "createobject") -> dict[str, Any]:
    """The same as CloudEvents 1.0."""
    return {
        "specversion": "1.0",
        "id": "3e47d127-19de-6eb8-eb67-0c1ab961fcbc",
        "type": f"com.oraclecloud.objectstorage.{kind}",
        "source": "objectstorage",
        "time": "2020-01-21T16:26:30.849Z",
        "datacontenttype": "application/json",
        "data": event_0_1(name)["data"],
    }


@pytest.mark.parametrize("event", [event_0_1, event_1_0])
@pytest.mark.parametrize("kind", ["createobject", "updateobject"])
def test_a_new_object_is_a_request_with_defaults_pinned_to_its_version(event: Callable[..., Any], kind: str) -> None:
    made = parse(event("in/my call é.mp3", kind))
    assert str(made.source) == "oci://calls@ns/in/my call é.mp3"
    assert made.name == "in/my call é.mp3"
    assert made.source_etag == "199f8dbf-0b8c-41b6-9596-4d2a6792d7e5"
    assert (made.output, made.request_id, made.requested_at) == (RULES.outputs[0], "", 5.0)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "a list of one": lambda event: [event],
    "an object": lambda event: {"event": event},
    "an object in a list": lambda event: [{"message": event}],
    "JSON in a string": lambda event: {"Message": json.dumps(event)},
    "JSON of a list in a string": lambda event: {"value": json.dumps([event])},
    "strings in strings": lambda event: {"body": json.dumps({"payload": json.dumps({"data": json.dumps(event)})})},
    "an envelope with other keys": lambda event: {"key": None, "partition": "0", "offset": 7, "value": event},
}


@pytest.mark.parametrize("event", [event_0_1, event_1_0])
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_an_event_is_found_in_whatever_carried_it(wrap: Callable[[Any], Any], event: Callable[..., Any]) -> None:
    assert parse(wrap(event())).name == "in/call.mp3"


def test_an_event_is_not_looked_for_any_deeper_than_reasonable() -> None:
    body: Any = event_0_1()
    for _ in range(5):
        body = {"message": body}
    assert "unknown key 'message'" in refusal(body).message


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (event_0_1(kind="deleteobject"), "event_type"),
        (event_1_0(kind="deleteobject"), "event_type"),
        (event_0_1(kind="createbucket"), "event_type"),
        ({"message": json.dumps(event_0_1(kind="deleteobject"))}, "event_type"),
        (event_0_1("in/"), "folder_marker"),
        *[(event_0_1(f"done/call.mp3.{format_}"), "own_output") for format_ in Format],
        (event_0_1("done/.state/jobs/0a.json"), "own_output"),
        (event_0_1("done/.state/requests/0a"), "own_output"),
        (event_0_1("calls/call.mp3.json", bucketName="out"), "own_output"),
    ],
)
def test_events_with_nothing_to_transcribe_are_ignored(event: Any, reason: str) -> None:
    assert ignored(event) == reason


@pytest.mark.parametrize("name", ["donequixote/call.json", "in/call.mp3.json", "done/call.mp3", "in/.hidden/a.mp3"])
def test_what_only_resembles_an_output_is_not_ignored(name: str) -> None:
    assert parse(event_0_1(name)).name == name


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("data"),
        lambda event: event.update(data="x"),
        lambda event: event.update(data=[]),
        lambda event: event["data"].pop("additionalDetails"),
        lambda event: event["data"].pop("resourceName"),
        lambda event: event["data"].update(resourceName=7),
        lambda event: event["data"].update(resourceName=""),
        lambda event: event["data"].update(resourceName="a\x00.mp3"),
        lambda event: event["data"].update(resourceName="a/../b.mp3"),
        lambda event: event["data"].update(resourceName="\ud800.mp3"),
        lambda event: event["data"].update(resourceName="x" * 5000),
        lambda event: event["data"]["additionalDetails"].update(bucketName="a/b"),
        lambda event: event["data"]["additionalDetails"].update(namespace=None),
        lambda event: event["data"]["additionalDetails"].update(namespace="n@m"),
    ],
)
def test_an_event_that_names_no_object_is_refused(spoil: Callable[[dict[str, Any]], Any]) -> None:
    event = event_0_1()
    spoil(event)
    refusal(event)


def test_an_event_from_a_bucket_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(RejectJob) as caught:
        parse(event_0_1(bucketName="other"))
    assert caught.value.reason is Reason.SOURCE_NOT_ALLOWED


def test_an_event_without_a_version_is_not_pinned() -> None:
    assert parse(event_0_1(eTag=None)).source_etag is None


def test_a_request_may_be_in_a_list_of_one() -> None:
    assert parse([make_request()]).name == "call.wav"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "line 1"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"\x00\x01", "not JSON"),
        (b'{"source": "x"', "line 1"),
        (b'{\n "source": ,\n}', "line 2"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[[]]", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'[{"source": "x"}, {"source": "y"}]', "not a JSON object"),
        (b"9" * 10_000, "not JSON"),
        (b'{"source": "file:///data/audio/a.wav", "speed": NaN}', "NaN is no number"),
        (b'{"source": "file:///data/audio/a.wav", "speed": -Infinity}', "-Infinity is no number"),
        (b'{"source": "file:///data/audio/a.wav", "source": "file:///data/audio/b.wav"}', "names a key twice"),
        (b'{"source": "file:///data/audio/a.wav", "clip": {"end_s": 1, "end_s": 2}}', "names a key twice"),
        (b'{"source": "file:///data/audio/a.wav", "speed": 1e999}', "speed"),
    ],
)
def test_what_is_no_json_object_is_refused_and_told_why(body: bytes, told: str) -> None:
    assert told in refusal(body).message


def test_a_bomb_in_a_wrapped_string_is_refused() -> None:
    refusal({"message": "[" * 100_000})


def test_a_deeply_nested_value_is_refused() -> None:
    """As deep as the JSON parser lets through, under every key that is looked at."""
    for depth in (100, *range(800, 1000)):  # somewhere there the parser just gives up
        nested = b"[" * depth + b"]" * depth
        for key in (b"eventType", b"type", b"data", b"message", b"attributes", b"version", b"source", b"clip"):
            refusal(b'{"%s": %s}' % (key, nested))


def test_a_body_of_the_largest_size_is_read_and_a_larger_one_is_not() -> None:
    body = json.dumps(make_request()).encode()
    assert parse(body.ljust(MAX_BODY_BYTES)).name == "call.wav"
    assert "larger than" in refusal(body.ljust(MAX_BODY_BYTES + 1)).message


def test_a_valid_traceparent_is_carried_along() -> None:
    assert parse(make_request(), {"traceparent": TRACEPARENT}).traceparent == TRACEPARENT
    assert parse(event_0_1(), {"traceparent": TRACEPARENT}).traceparent == TRACEPARENT


@pytest.mark.parametrize("value", ["", "x" * 100_000, f"cc-{TRACEPARENT[3:]}-{'x' * 100_000}", TRACEPARENT[:-1]])
def test_a_traceparent_that_is_none_costs_nothing(value: str) -> None:
    carried = parse(make_request(), {"traceparent": value}).traceparent
    assert carried is None or len(carried) == len(TRACEPARENT)
