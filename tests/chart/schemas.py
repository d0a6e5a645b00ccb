"""Strict validation of objects: against Kubernetes' schemas, and the definitions of KEDA's kinds and of the Prometheus
operator's. A field that a schema does not name is told, not dropped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.chart.tools import Document

OLDEST, NEWEST = "1.30", "1.37"
_CUSTOM = ("keda.sh", "monitoring.coreos.com")


def is_custom(document: Document) -> bool:
    """Whether somebody else than Kubernetes defines its kind."""
    return str(document["apiVersion"]).partition("/")[0] in _CUSTOM


def problems(document: Document) -> list[str]:
    """What is wrong with an object of Kubernetes' own, on the oldest and the newest; of a ScaledJob: with its Jobs."""
    if document["kind"] == "ScaledJob":
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": document["metadata"]}
        return problems({**job, "spec": document["spec"]["jobTargetRef"]})
    return [problem for version in (OLDEST, NEWEST) for problem in _problems(document, version)]


def _problems(document: Document, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        yield f"{document['kind']} on Kubernetes {version}: {where}: {error.message}"


@dataclass(frozen=True, slots=True)
class Definitions:
    """The custom resource definitions that scripts/chart-schemas.py keeps: a folder for each release."""

    folder: Path

    def problems(self, document: Document) -> list[str]:
        """What is wrong with a custom object, in every release that defines its kind."""
        schemas = _schemas(self.folder, document["apiVersion"], document["kind"])
        return [problem for release, schema in schemas.items() for problem in _found(document, schema, release)]


def _found(document: Document, schema: Mapping[str, Any], release: str) -> Iterator[str]:
    for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
        where = ".".join([document["kind"], *map(str, error.absolute_path)])
        yield f"{where} in {release}: {error.message}"


@cache
def _schemas(folder: Path, api_version: str, kind: str) -> dict[str, Mapping[str, Any]]:
    """Release -> schema of a kind."""
    group, _, version = api_version.partition("/")
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.glob(f"*/{group}_{kind.lower()}s.yaml")):
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        (served,) = (one for one in spec["versions"] if one["name"] == version)
        found[path.parent.name] = _strict(served["schema"]["openAPIV3Schema"])
    if len(found) < 2:
        raise LookupError(f"{folder} has {kind} of {sorted(found)}: an oldest and a newest release are needed")
    return found


def _strict(schema: Any) -> Any:
    """An OpenAPI schema as a JSON Schema that takes no further fields, which the API server would drop."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items() if key != "properties"}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _strict(below) for name, below in schema["properties"].items()}
        # Within anyOf and the like a structural schema has no type, and names only some of the fields.
        if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    return made
