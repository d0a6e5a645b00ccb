"""Strict validation of objects: against Kubernetes' schemas, and the CRDs of KEDA and of the Prometheus operator."""

from collections.abc import Iterator
from typing import Any

import cloudcoil.models.keda.v1alpha1 as keda
import cloudcoil.models.prometheus_operator.v1 as prometheus_operator
import kubernetes_validate
from pydantic import ValidationError

from tests.chart.tools import Document

OLDEST, NEWEST = "1.30", "1.37"
_CUSTOM = {"keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": prometheus_operator}


def problems(document: Document) -> list[str]:
    """What is wrong with an object, unknown fields included."""
    if document["kind"] == "ScaledJob":
        return list(_scaled_job_problems(document))
    if document["apiVersion"] in _CUSTOM:
        return list(_custom_problems(document))
    return [problem for version in (OLDEST, NEWEST) for problem in _problems(document, version)]


def _scaled_job_problems(document: Document) -> Iterator[str]:
    """Its Jobs are Kubernetes' own; the model of the rest stumbles over their quantities."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": document["metadata"]}
    yield from problems({**job, "spec": document["spec"]["jobTargetRef"]})
    plain = {"template": {"spec": {"containers": [{"name": "worker"}]}}}
    yield from _custom_problems({**document, "spec": {**document["spec"], "jobTargetRef": plain}})


def _problems(document: Document, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        yield f"{document['kind']} on Kubernetes {version}: {where}: {error.message}"


def _custom_problems(document: Document) -> Iterator[str]:
    """The models drop what they don't know, so that is told by what they have lost."""
    model: Any = getattr(_CUSTOM[document["apiVersion"]], document["kind"])
    try:
        kept = model.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        yield f"{document['kind']}: {error}"
        return
    for path in _lost(document, kept, document["kind"]):
        yield f"{path} is no field"


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from _lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from _lost(value, kept[index], f"{path}[{index}]")
