"""The generator of the reference pages, and that the pages in the repository are what it makes."""

import importlib.util
import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from transcriber_worker.inference.model_catalogue import CATALOGUE
from transcriber_worker.observability.events import ALL_EVENTS
from transcriber_worker.observability.metrics import ALL_METRICS

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "gen-docs.py"


@pytest.fixture(scope="module")
def gen_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_the_pages_in_the_repository_are_current() -> None:
    checked = run("--check")

    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_changed_a_missing_and_a_stale_file_are_each_named(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    assert run("--docs", docs).returncode == 0
    assert run("--check", "--docs", docs).returncode == 0
    (docs / "metrics.md").write_text((docs / "metrics.md").read_text() + "more\n")
    (docs / "configuration.md").unlink()
    (docs / "schemas" / "forgotten.json").write_text("{}")

    checked = run("--check", "--docs", docs)

    assert checked.returncode == 1
    named = [line.split(" differs")[0] for line in checked.stderr.splitlines()]
    assert named == ["docs/configuration.md", "docs/metrics.md", "docs/schemas/forgotten.json"]


def test_writing_mends_everything_and_touches_nothing_else(gen_docs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "forgotten.json").write_text("{}")
    (tmp_path / "operations.md").write_text("by hand\n")

    gen_docs.write(tmp_path, {"metrics.md": "new\n", "schemas/request.json": "{}\n"})

    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"metrics.md", "schemas/request.json", "operations.md"}


def test_two_runs_write_the_same_whatever_the_environment(
    gen_docs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gen_docs.documents()
    monkeypatch.setenv("TRANSCRIBER__ENGINE__CONCURRENCY", "17")

    assert gen_docs.documents() == first


def test_every_metric_and_every_event_is_on_the_page(gen_docs: ModuleType) -> None:
    page = gen_docs.metrics_page()

    for spec in ALL_METRICS:
        assert f"| `{spec.name}` | {spec.kind} |" in page
    for event in ALL_EVENTS:
        assert f"| `{event.name}` | {event.level} |" in page


def test_every_setting_of_the_worker_is_described(gen_docs: ModuleType) -> None:
    rows = [line for line in gen_docs.documents()["configuration.md"].splitlines() if line.startswith("| `")]

    assert len(rows) > 50
    for row in rows:
        assert len(row.split(" | ")[4]) > 10, f"no description: {row}"


def test_only_the_table_of_the_models_page_is_generated(gen_docs: ModuleType) -> None:
    stale = f"Before.\n\n{gen_docs.MODELS_BEGIN}| old |\n{gen_docs.MODELS_END}\nAfter.\n"

    page = gen_docs.models_page(stale)

    assert page.startswith("Before.\n")
    assert page.endswith("\nAfter.\n")
    assert "old" not in page
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(CATALOGUE)


def test_a_models_page_without_its_markers_is_an_error(gen_docs: ModuleType) -> None:
    with pytest.raises(ValueError, match="markers"):
        gen_docs.models_page("| by hand |\n")


class Mode(StrEnum):
    FAST = "fast"
    EXACT = "exact"


class Inner(BaseModel):
    limit: float | None = Field(1.5, gt=0, le=1_000_000, description="A | bound.")
    names: tuple[str, ...] = Field(("a", "b"), min_length=1, description="Names.")


class Outer(BaseModel):
    mode: Mode = Field(Mode.FAST, description="A choice.")
    count: Annotated[int, Field(ge=1)] | Literal["auto"] = Field("auto", description="A number.")
    where: Path = Field(description="A place.")
    enabled: bool = Field(True, description="A switch.")
    inner: Inner | None = None


def test_a_setting_is_told_with_type_default_bounds_and_variable(gen_docs: ModuleType) -> None:
    page = gen_docs.configuration_page(Outer)

    assert "| `mode` | `fast` or `exact` | `fast` |  | A choice. | `TRANSCRIBER__MODE` |" in page
    assert "| `count` | integer or `auto` | `auto` | ≥ 1 | A number. | `TRANSCRIBER__COUNT` |" in page
    assert "| `where` | path | required |  | A place. | `TRANSCRIBER__WHERE` |" in page
    assert "| `enabled` | true or false | `true` |  | A switch. | `TRANSCRIBER__ENABLED` |" in page
    assert "## inner" in page
    assert "| `inner.limit` | number or nothing | `1.5` | > 0, ≤ 1000000 | A \\| bound. |" in page
    assert '| `inner.names` | list of text | `["a", "b"]` | length ≥ 1 | Names. | `TRANSCRIBER__INNER__NAMES` |' in page


def test_the_schemas_are_valid_and_refuse_unknown_keys(gen_docs: ModuleType) -> None:
    schemas = {name: json.loads(text) for name, text in gen_docs.schemas().items()}

    assert {"schemas/request.json", "schemas/transcript.json"} <= set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False
    validator = jsonschema.Draft202012Validator(schemas["schemas/request.json"])
    assert validator.is_valid({"source": "oci://bucket@namespace/call.mp3"})
    assert not validator.is_valid({"source": "oci://bucket@namespace/call.mp3", "sourc": 1})
    assert not validator.is_valid({})
