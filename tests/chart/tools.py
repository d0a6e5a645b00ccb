"""The chart as Helm renders it, and where the tools are."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
CHART = PROJECT / "helm" / "transcriber-worker"
CONFIGMAPS = PROJECT / "configmaps"
RELEASE, NAMESPACE = "calls", "transcription"
NAME = "calls-transcriber-worker"

Document = dict[str, Any]


@cache
def tools() -> dict[str, Any]:
    """What scripts/chart-tools.py found or fetched."""
    script = PROJECT / "scripts" / "chart-tools.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def missing(name: str) -> str | None:
    """Why a tool can't be had."""
    reason: str | None = tools()["missing"].get(name)
    return reason


class Refused(Exception):
    """Helm would not install it; the message is what it says."""


@dataclass(frozen=True, slots=True)
class Helm:
    """The real one."""

    program: str
    _rendered: dict[str, list[Document]] = field(default_factory=dict)

    def run(self, *arguments: str) -> str:
        """Raises `Refused`."""
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout

    def render(self, files: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> list[Document]:
        """Every object of a release with those files of configmaps/, and values over them. Raises `Refused`."""
        key = json.dumps([files, values])
        if key not in self._rendered:
            named = [word for name in files for word in ("-f", str(CONFIGMAPS / f"{name}.yaml"))]
            with NamedTemporaryFile("w", suffix=".yaml") as extra:
                yaml.safe_dump(dict(values or {}), extra)
                extra.flush()
                where = ["--namespace", NAMESPACE, *named, "-f", extra.name]
                text = self.run("template", RELEASE, str(CHART), *where)
            self._rendered[key] = [document for document in yaml.safe_load_all(text) if document]
        return self._rendered[key]


def the(documents: Iterable[Document], kind: str, suffix: str = "") -> Document:
    """The one object of a kind whose name ends so."""
    (found,) = [
        document
        for document in documents
        if document["kind"] == kind and document["metadata"]["name"] == f"{NAME}{suffix}"
    ]
    return found


def kinds(documents: Iterable[Document]) -> list[str]:
    return sorted(document["kind"] for document in documents)


def config_of(documents: Iterable[Document]) -> Document:
    """The worker's configuration, out of its ConfigMap."""
    config: Document = yaml.safe_load(the(documents, "ConfigMap", "-config")["data"]["config.yaml"])
    return config


def worker_pod(documents: Iterable[Document]) -> Document:
    """The spec of the worker's pods."""
    documents = list(documents)
    if any(document["kind"] == "ScaledJob" for document in documents):
        pod: Document = the(documents, "ScaledJob")["spec"]["jobTargetRef"]["template"]["spec"]
    else:
        pod = the(documents, "Deployment")["spec"]["template"]["spec"]
    return pod
