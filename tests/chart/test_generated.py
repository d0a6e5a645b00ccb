"""What is generated of the chart, and what the chart has to know of the worker."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.chart.tools import CHART, PROJECT
from transcriber_worker import __version__
from transcriber_worker.settings import Settings
from transcriber_worker.worker.loop import HAND_BACK_S

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("script", ["gen-chart.py", "gen-dashboard.py"])
def test_schema_table_and_dashboard_are_current(script: str) -> None:
    command = [sys.executable, str(PROJECT / "scripts" / script), "--check"]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


def test_unknown_keys_are_refused_at_every_level() -> None:
    def ours(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if "properties" in schema:
            yield schema
            for below in schema["properties"].values():
                yield from ours(below)

    objects = [*ours(SCHEMA), *(one for one in SCHEMA["$defs"].values() if one.get("type") == "object")]
    assert len(objects) > 20
    assert [one.get("title") for one in objects if one.get("additionalProperties") is not False] == []


def test_sections_and_what_the_chart_reckons_with_are_required() -> None:
    """All but lists, other APIs' objects, and what is empty by default: those may be taken away by null."""

    def missed(schema: Mapping[str, Any], values: Mapping[str, Any], path: str) -> Iterator[str]:
        for key, value in values.items():
            below, required = schema["properties"][key], key in schema.get("required", [])
            if "properties" in below:
                yield from missed(below, value, f"{path}{key}.")
            elif isinstance(value, dict) and "$ref" not in below:
                assert not required, f"{path}{key}"
                continue
            empty = value in ("", None, []) or (isinstance(value, list) and "minItems" not in below)
            if required is empty:
                yield f"{path}{key}"

    assert list(missed(SCHEMA, VALUES, "")) == []


def test_every_value_says_what_it_means() -> None:
    rows = [line for line in (CHART / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_chart_reckons_with_the_workers_own_defaults() -> None:
    """`worker.defaults` of _config.tpl."""
    text = (CHART / "templates" / "_config.tpl").read_text()
    block = text.partition('define "worker.defaults" -}}\n')[2].partition("{{- end }}")[0]
    real = Settings.model_validate({}).model_dump(mode="json")

    def check(reckoned: Mapping[str, Any], found: Mapping[str, Any], path: str) -> None:
        for key, value in reckoned.items():
            if isinstance(value, dict):
                check(value, found[key], f"{path}{key}.")
            else:
                assert value == found[key], f"{path}{key}"

    check(yaml.safe_load(block), real, "")


def test_the_pages_tell_the_workers_own_time_to_hand_back() -> None:
    told = [(CHART / "README.md").read_text(), (CHART / "values.yaml").read_text()]
    assert [re.findall(r"drain_s`? \+ (\d+)(?: s)? for handing back", text) for text in told] == [
        [f"{HAND_BACK_S:.0f}"] * 2,
        [f"{HAND_BACK_S:.0f}"],
    ]


def test_the_charts_own_config_is_the_workers() -> None:
    Settings.model_validate(VALUES["config"])


def test_the_image_is_of_the_same_version_by_default() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert chart["version"] == __version__
