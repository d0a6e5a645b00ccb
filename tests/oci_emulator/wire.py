"""Requests and responses as the emulated services see them, between the sockets below and the semantics above."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes


class ServiceFault(Exception):
    """An error that a service answers: `{"code": ..., "message": ...}` with that status."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Response:
    """`headers`: by lower-case name; content-length, date and opc-request-id are added by the server. To HEAD a service
    answers as to GET: the server leaves the body away."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """`raw_target`: as it was sent, with the query (signatures are made of it). `path_parts`: the raw path split at
    "/", then decoded each, so `/n/ns/b/x/o/a%2Fb` ends in "a/b". `query`: decoded, the last of equal names.
    `headers`: by lower-case name. `now`: virtual time, Unix seconds."""

    method: str
    raw_target: str
    path_parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float

    @property
    def path(self) -> str:
        """The decoded path; faults choose their requests by it."""
        return "/" + "/".join(self.path_parts)

    def json(self) -> dict[str, Any]:
        """The body, a JSON object; raises `ServiceFault` 400 otherwise."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceFault(400, "InvalidJSON", "The body is no JSON object")
        return found

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A number from the query; raises `ServiceFault` 400 where it is none or out of bounds."""
        text = self.query.get(name)
        if text is None:
            return default
        return checked_integer(name, int(text) if text.lstrip("-").isdecimal() else text, low, high)


class Service(Protocol):
    """One emulated service."""

    def operation(self, request: Request) -> str | None:
        """Its name in Oracle's specification (PutObject, GetMessages), None where it is not this service's."""
        ...

    def handle(self, request: Request) -> Response | None:
        """Carry it out; None where it is not this service's. May raise `ServiceFault`."""
        ...


def checked_integer(name: str, value: object, low: int, high: int) -> int:
    """`value` if it is an integer within the bounds; raises `ServiceFault` 400 otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ServiceFault(400, "InvalidParameter", f"{name} must be an integer from {low} to {high}")
    return value


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)


def fault_response(fault: ServiceFault) -> Response:
    return json_response({"code": fault.code, "message": fault.message}, fault.status, fault.headers)


def timestamp(at: float) -> str:
    """RFC 3339 in UTC with milliseconds, as in JSON bodies. `at`: Unix seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(at: float) -> str:
    """As in headers, whole seconds. `at`: Unix seconds."""
    return formatdate(at, usegmt=True)


def parsed_target(raw_target: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The path's decoded parts and the query; raises `ServiceFault` 400 where a part is no UTF-8."""
    path, _, query = raw_target.partition("?")
    parts = tuple(_decoded(part) for part in path.removeprefix("/").split("/"))
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return parts, {_decoded(name.replace("+", " ")): _decoded(value.replace("+", " ")) for name, _, value in pairs}


def _decoded(quoted: str) -> str:
    try:
        return unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        raise ServiceFault(400, "InvalidParameter", "The URL is no UTF-8") from None
