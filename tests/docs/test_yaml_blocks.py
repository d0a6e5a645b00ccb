"""YAML that a page shows is what it says: a configuration, values of the chart, or an object that installs it."""

import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.tools import CHART, CONFIGMAPS, Document, Helm
from tests.docs.pages import PROJECT, Block, pages
from transcriber_worker.settings import Settings

BLOCKS = [block for page in pages() for block in page.blocks() if block.language in {"yaml", "yml"}]
VALUES = frozenset(yaml.safe_load((CHART / "values.yaml").read_text()))
KINDS = frozenset({"config", "values", "object", "prometheus"})
PROMETHEUS = frozenset({"global", "scrape_configs", "rule_files", "alerting"})
OTHERS = frozenset({"Application", "GitRepository", "HelmRelease", "SecretStore", "ExternalSecret"})
"""Kinds that other projects define and our pages show."""


def documents(block: Block) -> list[Document]:
    return [document for document in yaml.safe_load_all(block.text) if document]


def kind_of(document: Document) -> str:
    """What a block is, by its top level."""
    keys = set(document)
    if {"apiVersion", "kind"} <= keys:
        return "object"
    if keys <= set(Settings.model_fields):
        return "config"
    if keys <= PROMETHEUS:
        return "prometheus"
    return "values" if keys <= VALUES else "unknown"


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if all(kind_of(document) == kind for document in documents(block))]


def test_every_block_is_one_of_them() -> None:
    known = chain.from_iterable(of_kind(kind) for kind in KINDS)
    assert {str(block) for block in BLOCKS} == {str(block) for block in known}
    assert {kind_of(document) for block in BLOCKS for document in documents(block)} == KINDS


@pytest.mark.parametrize("block", of_kind("config"), ids=str)
def test_a_configuration_is_a_workers(block: Block, tmp_path: Path) -> None:
    config = tmp_path / "worker.yaml"
    config.write_text(block.text)
    assert isinstance(Settings.load(config), Settings)


def rendered(helm: Helm, folder: Path, files: list[Path], values: Document | None = None) -> str:
    own = folder / "own.yaml"
    own.write_text(yaml.safe_dump(values or {}))
    return helm.run("template", "calls", str(CHART), *(word for file in [*files, own] for word in ("-f", str(file))))


@pytest.mark.parametrize("block", of_kind("values"), ids=str)
def test_values_render(helm: Helm, tmp_path: Path, block: Block) -> None:
    (values,) = documents(block)
    assert "kind: ConfigMap" in rendered(helm, tmp_path, [CONFIGMAPS / "oci-queue.yaml"], values)


@pytest.mark.parametrize("block", of_kind("prometheus"), ids=str)
def test_what_is_prometheus_own_is_so(promtool: str, tmp_path: Path, block: Block) -> None:
    config = tmp_path / "prometheus.yaml"
    config.write_text(block.text)
    done = subprocess.run([promtool, "check", "config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


OBJECTS = [document for block in of_kind("object") for document in documents(block)]


def releases() -> Iterator[tuple[str, list[Path], Document]]:
    """What the objects install: the project's own value files, and values of their own."""
    for document in OBJECTS:
        if document["kind"] == "HelmRelease":
            chart = document["spec"]["chart"]["spec"]
            assert (PROJECT / chart["chart"]).resolve() == CHART
            files = [PROJECT / name for name in chart["valuesFiles"]]
            yield "Flux", files, document["spec"]["values"]
        elif document["kind"] == "Application":
            (source,) = (one for one in document["spec"]["sources"] if "path" in one)
            assert (PROJECT / source["path"]).resolve() == CHART
            names = source["helm"]["valueFiles"]
            ours = [CHART / name for name in names if not name.startswith("$values/")]
            yield "Argo CD", ours, {}


@pytest.mark.parametrize(("files", "values"), [pytest.param(f, v, id=name) for name, f, v in releases()])
def test_a_release_renders(helm: Helm, tmp_path: Path, files: list[Path], values: Document) -> None:
    assert "kind: ConfigMap" in rendered(helm, tmp_path, files, values)


def test_objects_refer_to_one_another() -> None:
    """By kind and name, in one namespace; and Argo's `$values` is the name of a source."""
    assert {document["kind"] for document in OBJECTS} == OTHERS
    made = {(one["kind"], one["metadata"]["name"]) for one in OBJECTS}
    named = [reference for one in OBJECTS for reference in _references(one["spec"])]
    assert named
    assert set(named) <= made
    (application,) = (one for one in OBJECTS if one["kind"] == "Application")
    assert [one["ref"] for one in application["spec"]["sources"] if "ref" in one] == ["values"]


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if set(value) == {"kind", "name"}:
            yield value["kind"], value["name"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_a_wrong_block_is_found() -> None:
    assert kind_of({"broker": {}, "brokers": {}}) == "unknown"
    assert kind_of({"autoscaling": {}}) == "values"
    assert kind_of({"broker": {}}) == "config"
