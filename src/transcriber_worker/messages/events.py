"""Bodies off the wire: our own requests, and OCI Object Storage events as they come (CloudEvents 0.1 or 1.0, raw or
wrapped by whatever carried them here)."""

import json
from collections.abc import Mapping
from typing import Any

from transcriber_worker.domain.errors import IgnoreEvent, Reason, RejectJob
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.messages.request import RequestRules, to_job, validate_request
from transcriber_worker.observability.trace import parse_traceparent

EVENT_TYPE_PREFIX = "com.oraclecloud.objectstorage."
_WANTED = {"createobject", "updateobject"}
_WRAPPERS = ("event", "message", "Message", "payload", "body", "value", "data")
_MAX_DEPTH = 4
MAX_BODY_BYTES = 1024 * 1024


def parse_job(body: bytes, headers: Mapping[str, str], rules: RequestRules, *, published_at: float) -> Job:
    """The job a message's body asks for.

    Raises `RejectJob` (broken or not allowed), `RetryJob` (a newer contract version), `IgnoreEvent` (an event there is
    nothing to do for).
    """
    fields = _object(body)
    trace = parse_traceparent(headers.get("traceparent"))
    traceparent = trace.traceparent if trace else None
    event = _find_event(fields)
    if event is None:
        return to_job(validate_request(fields), rules, published_at=published_at, traceparent=traceparent)
    source, etag = _event_object(event, rules)
    request = validate_request({"source": str(source)})
    return to_job(request, rules, published_at=published_at, etag=etag, traceparent=traceparent)


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise RejectJob(Reason.INVALID_REQUEST, f"the message is larger than {MAX_BODY_BYTES} bytes")
    try:
        fields = _loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise RejectJob(Reason.INVALID_REQUEST, "the message is not JSON: not UTF-8") from None
    except json.JSONDecodeError as error:
        message = f"the message is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise RejectJob(Reason.INVALID_REQUEST, message) from None
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RejectJob(Reason.INVALID_REQUEST, f"the message is not JSON: {why}") from None
    if isinstance(fields, list) and len(fields) == 1:
        fields = fields[0]
    if not isinstance(fields, dict):
        raise RejectJob(Reason.INVALID_REQUEST, "the message is not a JSON object")
    return fields


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object_once, parse_constant=_no_constant)


def _object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands twice means one thing to us and another to whoever checked the message before."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("an object names a key twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _find_event(fields: dict[str, Any], depth: int = 0) -> dict[str, Any] | None:
    """The Object Storage event in a body, unwrapped; None where the body is something else."""
    if _event_type(fields).startswith(EVENT_TYPE_PREFIX):
        return fields
    if depth == _MAX_DEPTH or "source" in fields:
        return None
    for key in _WRAPPERS:
        inner = _decoded(fields.get(key))
        found = _find_event(inner, depth + 1) if inner is not None else None
        if found is not None:
            return found
    return None


def _event_type(fields: dict[str, Any]) -> str:
    named = fields.get("eventType", fields.get("type"))
    return named if isinstance(named, str) else ""


def _decoded(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = _loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def _event_object(event: dict[str, Any], rules: RequestRules) -> tuple[ObjectUri, str | None]:
    kind = _event_type(event).removeprefix(EVENT_TYPE_PREFIX)
    if kind not in _WANTED:
        raise IgnoreEvent("event_type")
    data = event.get("data")
    details = data.get("additionalDetails") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(details, dict):
        raise RejectJob(Reason.INVALID_REQUEST, "the event has no data.additionalDetails")
    name, bucket, namespace = data.get("resourceName"), details.get("bucketName"), details.get("namespace")
    if not (isinstance(name, str) and isinstance(bucket, str) and isinstance(namespace, str) and name):
        raise RejectJob(Reason.INVALID_REQUEST, "the event names no object: resourceName, bucketName, namespace")
    if name.endswith("/"):
        raise IgnoreEvent("folder_marker")
    try:
        source = ObjectUri.parse(f"oci://{bucket}@{namespace}/{name}")
    except InvalidUri as error:
        raise RejectJob(Reason.INVALID_REQUEST, f"the event's object: {error}") from None
    if _is_output(source, rules):
        raise IgnoreEvent("own_output")
    etag = details.get("eTag")
    return source, etag if isinstance(etag, str) else None


def _is_output(source: ObjectUri, rules: RequestRules) -> bool:
    """Whether this looks like something a worker wrote: below an output prefix, and named like an output or hidden, as
    job records are."""
    endings = tuple(f".{format_.value}" for format_ in Format)
    for prefix in rules.outputs:
        if prefix.contains(source):
            parts = prefix.relative(source).split("/")
            if source.key.endswith(endings) or any(part.startswith(".") for part in parts):
                return True
    return False
