"""A setting, a value, a metric, an event, a file or a test that a page names is one that there is."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.chart.exported import SERIES, problems
from tests.chart.tools import CHART
from tests.docs.pages import PROJECT, Page, pages
from transcriber_worker.observability.events import ALL_EVENTS
from transcriber_worker.settings import ENV_PREFIX, Settings

PACKAGE = PROJECT / "src" / "transcriber_worker"
PROMISING = ("SECURITY.md", "CONTRIBUTING.md")


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every section and every setting, by its dotted path."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation, f"{prefix}{name}.")


def values_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from values_of(value, f"{prefix}{name}.")


SETTINGS = frozenset(settings_of(Settings))
VALUES = frozenset(values_of(yaml.safe_load((CHART / "values.yaml").read_text())))
EVENTS = frozenset(event.name for event in ALL_EVENTS)
SECTIONS = "|".join(sorted({path.partition(".")[0] for path in SETTINGS | VALUES}))
METRICS = frozenset(SERIES) | {name.rpartition("_")[0] for name in SERIES if name.endswith("_bucket")}


def unknown_paths(text: str) -> list[str]:
    """Dotted names below a section or a value that are neither a setting, a value nor a log event."""
    found = re.findall(rf"(?<![\w.\-/@])(?:config\.)?(?:{SECTIONS})(?:\.[A-Za-z_]\w*)+(?![\w./(-])", text)
    return [name for name in found if not _known(name)]


def _known(name: str) -> bool:
    if name.endswith((".yaml", ".md", ".py", ".json", ".svg", ".txt")) or name in EVENTS:
        return True
    if name.removeprefix("config.") in SETTINGS:
        return True
    # A value may hold fields of another API's, which are not listed.
    own = [value for value in VALUES if "." in value and not value.startswith("config.")]
    return any(name == value or name.startswith(f"{value}.") for value in own)


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_setting_is_one(page: Page) -> None:
    wrong = [f"{page}:{line}: {name}" for line, text in page.words() for name in unknown_paths(text)]
    assert wrong == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_variable_of_ours_is_a_setting(page: Page) -> None:
    named = re.findall(rf"\b{ENV_PREFIX}[A-Z_]+\b", page.text)
    paths = [(name, name.removeprefix(ENV_PREFIX).lower().replace("__", ".")) for name in named]
    assert [name for name, path in paths if path not in SETTINGS] == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_metric_is_exported(page: Page) -> None:
    named = set(re.findall(r"\btranscriber_[a-z_]+\b(?!/|\.py|-)", page.text)) - {"transcriber_worker"}
    assert sorted(named - METRICS) == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_query_asks_for_what_is_exported(page: Page) -> None:
    shown = [block for block in page.blocks() if not block.language and "(transcriber_" in block.text]
    assert [why for block in shown for why in problems(block.text)] == []


def test_a_wrong_name_is_found() -> None:
    assert unknown_paths("worker.drain") == ["worker.drain"]
    assert unknown_paths("config.broker.kafka.topics") == ["config.broker.kafka.topics"]
    assert unknown_paths("worker.drain_s, worker.paused, autoscaling.maxReplicas, config.oci.region") == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_file_of_the_project_is_there(page: Page) -> None:
    homes = (PROJECT, PACKAGE, page.path.parent, CHART)
    missing = []
    for line, text in page.words():
        for name in re.findall(r"(?<![\w./~-])((?:[\w.-]+/)+[\w.*-]*\.(?:py|md|yaml|tpl|sh))(?![\w/])", text):
            if not any(any(home.glob(name)) for home in homes):
                missing.append(f"{page}:{line}: {name}")
    assert missing == []


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the tests in a file, with their class where they have one."""
    tree = ast.parse(path.read_text())
    plain = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    in_classes = {
        f"{group.name}::{node.name}"
        for group in tree.body
        if isinstance(group, ast.ClassDef)
        for node in group.body
        if isinstance(node, ast.FunctionDef)
    }
    return frozenset(name for name in plain | in_classes if name.rpartition("::")[2].startswith("test_"))


@pytest.mark.parametrize("name", PROMISING)
def test_a_promise_is_held_by_a_test_that_is_there(name: str) -> None:
    """`tests/folder/test_file.py`, or `tests/folder/test_file.py::test_name`; `*` stands for several files."""
    text = (PROJECT / name).read_text()
    missing = []
    for path, test in re.findall(r"`(tests/[\w/.*-]+)(?:::((?:\w+::)?\w+))?`", text):
        files = list(PROJECT.glob(path))
        if not files or (test and not any(test in names_in(file) for file in files)):
            missing.append(f"{path}::{test}")
    assert missing == []
