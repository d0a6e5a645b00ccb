"""Answers held against Oracle's own specifications (OpenAPI 2)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator, FormatChecker

from tests.oci_emulator.client import PROJECT

SPECIFICATIONS = PROJECT.parent / "shared" / "specs"
"""They are not ours to copy: outside of the project, and not on every machine."""
_SOMETIMES = frozenset(
    {
        "opc-client-request-id",  # only if it was sent
        "opc-next-page",  # only if there is one
        "version-id", "is-delete-marker",  # only with versions
        "append-offset", "committed-chunk-count",  # only when appending
        "content-md5", "opc-multipart-md5",  # one of them
        "content-language", "content-encoding", "content-disposition", "cache-control", "expires",  # only if given
        "storage-tier", "archival-state", "time-of-archival", "opc-bucket-key-enabled", "opc-meta-*",
        "last-modified", "content-range", "content-length",
    }
)  # fmt: skip
"""Headers that are declared but need not come. The last three are checked by tests of their own."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time")
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or _MOMENT.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Exchange:
    """`headers`: of the answer, by lower-case name. `target`: raw, with the query."""

    method: str
    target: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Specification:
    """One of the files in `SPECIFICATIONS`."""

    def __init__(self, path: Path) -> None:
        self._spec: dict[str, Any] = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        self._definitions = {name: _closed(schema) for name, schema in self._spec["definitions"].items()}
        self._routes = [
            (re.compile(self._spec["basePath"].rstrip("/") + _pattern(template)), method.upper(), operation)
            for template, methods in self._spec["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict)
        ]

    def problems(self, exchange: Exchange, operation_id: str) -> list[str]:
        """What is not as specified, empty if nothing. `operation_id`: what the emulator took the request for."""
        found = self._operation(exchange)
        if found is None:
            return [f"no such operation: {exchange.method} {exchange.target}"]
        problems = [f"is {found['operationId']}, not {operation_id}"] if found["operationId"] != operation_id else []
        declared = found["responses"].get(exchange.status)
        if declared is None:
            return [*problems, f"{operation_id} declares no {exchange.status}"]
        if "$ref" in declared:
            declared = self._spec["responses"][_response_key(declared["$ref"])]
        missing = {name.lower() for name in declared.get("headers", {})} - _SOMETIMES - set(exchange.headers)
        problems += [f"no header {name}" for name in sorted(missing)]
        return problems + self._body_problems(exchange, declared.get("schema"))

    def _operation(self, exchange: Exchange) -> dict[str, Any] | None:
        path = exchange.target.partition("?")[0]
        for pattern, method, operation in self._routes:
            if method == exchange.method and pattern.fullmatch(path):
                return dict(operation)
        return None

    def _body_problems(self, exchange: Exchange, schema: Mapping[str, Any] | None) -> list[str]:
        if exchange.method == "HEAD" or schema is None:
            return [f"{len(exchange.body)} bytes of body, where none is declared"] if exchange.body else []
        if schema.get("format") == "binary":
            return []
        try:
            body = json.loads(exchange.body)
        except ValueError:
            return ["the body is no JSON"]
        validator = Draft4Validator({**schema, "definitions": self._definitions}, format_checker=_FORMATS)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def _pattern(template: str) -> str:
    return re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(template.rstrip("/"))) + "/?"


def _response_key(reference: str) -> str | int:
    name = reference.rpartition("/")[2]
    return int(name) if name.isdecimal() else name


def _closed(schema: Any) -> Any:
    """The same schema, refusing properties that it does not declare: they would be our inventions."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not {"allOf", "additionalProperties"} & schema.keys():
        closed["additionalProperties"] = False
    return closed
