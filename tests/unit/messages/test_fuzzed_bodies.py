"""Whatever the bytes, the worker knows what to do next: a job it can name, or one of its own errors."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.builders import make_request, make_rules
from tests.unit.messages.test_object_events import event_0_1, event_1_0
from transcriber_worker.domain.errors import IgnoreEvent, RejectJob, RetryJob
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.messages.events import parse_job
from transcriber_worker.messages.request import Request
from transcriber_worker.messages.result import MAX_EVENT_BYTES, EventType, failure, result_event
from transcriber_worker.pipeline.announcements import result_data

RULES = make_rules(("oci://calls@ns/", "file:///", "https://host/"), ("oci://out@ns/", "file:///out/"))

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
uris = st.builds(
    "".join, st.tuples(st.sampled_from(["oci://calls@ns/", "file:///", "https://host/", "", "oci:", "x://"]), st.text())
)
request_like = st.fixed_dictionaries(
    {"source": uris},
    optional=dict.fromkeys(sorted({*Request.model_fields, "data", "message", "x"} - {"source"}), uris | any_json),
)


def spoilt(event: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    inner = event
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return event


event_like = st.builds(
    spoilt,
    st.builds(event_0_1) | st.builds(event_1_0),
    st.sampled_from(
        [
            ("eventType",),
            ("type",),
            ("data",),
            ("data", "resourceName"),
            ("data", "additionalDetails"),
            ("data", "additionalDetails", "bucketName"),
            ("data", "additionalDetails", "namespace"),
            ("data", "additionalDetails", "eTag"),
        ]
    ),
    any_json,
)


def outcome(body: bytes, headers: dict[str, str] | None = None) -> Job | None:
    try:
        job = parse_job(body, headers or {}, RULES, published_at=1.0)
    except (RejectJob, RetryJob) as error:
        assert len(error.message) < 8000
        error.message.encode()
        return None
    except IgnoreEvent:
        return None
    return job


def check_usable(job: Job) -> None:
    """What the worker does with every job must work with this one."""
    assert len(job.id) == 32
    job.fingerprint("etag", "model")
    assert job.name
    assert not job.name.endswith("/")
    for format_ in Format:
        target = job.output_for(format_)
        assert target.key.endswith(f".{format_}")
        assert any(prefix.contains(target) for prefix in RULES.outputs)
    outputs = {format_.value: str(job.output_for(format_)) for format_ in Format}
    data = result_data(job, 1, outputs=outputs, error=failure("x", "y" * 10_000, "z"))
    event = result_event(f"{job.id}:1", EventType.FAILED, data, now=1.0, traceparent=job.traceparent)
    assert len(event.to_bytes()) < MAX_EVENT_BYTES


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    outcome(body)


@given(any_json)
@example({"source": "file:///\ud800"})
def test_any_json(body: Any) -> None:
    outcome(json.dumps(body).encode())


@given(request_like, st.dictionaries(st.just("traceparent"), st.text()))
@example(make_request(attributes={"a": "\ud800"}), {})
@example(make_request(clip={"end_s": 1e308}), {})
def test_anything_that_resembles_a_request(fields: dict[str, Any], headers: dict[str, str]) -> None:
    job = outcome(json.dumps(fields).encode(), headers)
    if job is not None:
        check_usable(job)


@given(event_like)
def test_anything_that_resembles_an_event(event: dict[str, Any]) -> None:
    job = outcome(json.dumps(event).encode())
    if job is not None:
        check_usable(job)


@given(uris)
@example("https://host/?x")
@example("https://host//")
@example("file:////")
@example("oci://calls@ns//")
def test_any_source(source: str) -> None:
    job = outcome(json.dumps({"source": source}).encode())
    if job is not None:
        check_usable(job)
