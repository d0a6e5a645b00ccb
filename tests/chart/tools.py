"""The chart as Helm renders it, and where the tools are."""

import json
import re
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
def tools(script: str = "chart-tools.py") -> dict[str, Any]:
    """What a script of scripts/ found or fetched."""
    done = subprocess.run([sys.executable, PROJECT / "scripts" / script], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def missing(name: str, script: str = "chart-tools.py") -> str | None:
    """Why a tool can't be had."""
    reason: str | None = tools(script)["missing"].get(name)
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

    def render(
        self,
        files: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
        *,
        release: str = RELEASE,
        chart: Path = CHART,
    ) -> list[Document]:
        """Every object of a release with those files of configmaps/, and values over them. Raises `Refused`."""
        key = json.dumps([files, values, release, str(chart)])
        if key not in self._rendered:
            named = [word for name in files for word in ("-f", str(CONFIGMAPS / f"{name}.yaml"))]
            with NamedTemporaryFile("w", suffix=".yaml") as extra:
                json.dump(values or {}, extra)  # no two dialects of YAML differ on it
                extra.flush()
                where = ["--namespace", NAMESPACE, *named, "-f", extra.name]
                text = self.run("template", release, str(chart), *where)
            self._rendered[key] = [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]
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


def moved(config: Document, root: Path) -> Document:
    """A configuration whose places in a pod lie below a folder of this machine."""
    text = yaml.safe_dump(config)
    for volume in ("/data", "/models", "/scratch", "/etc/transcriber"):
        text = re.sub(rf"(^|[\s:]){volume}\b", rf"\g<1>{root}{volume}", text, flags=re.MULTILINE)
    found: Document = yaml.safe_load(text)
    return found


def pods(documents: Iterable[Document]) -> dict[str, Document]:
    """What every pod of the release is made from, metadata and spec: by its app.kubernetes.io/component."""
    made = [
        document if document["kind"] == "Pod" else _template(document["spec"])
        for document in documents
        if document["kind"] in ("Deployment", "ScaledJob", "Pod")
    ]
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in made}


def _template(spec: Document) -> Document:
    template: Document = spec.get("jobTargetRef", spec)["template"]
    return template


def worker_pod(documents: Iterable[Document]) -> Document:
    """The spec of the worker's pods."""
    spec: Document = pods(documents)["worker"]["spec"]
    return spec
