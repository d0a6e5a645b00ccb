"""Settings from file and environment: nothing misspelt passes, and every problem is told at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from transcriber_worker.settings import ENV_PREFIX, Settings
from transcriber_worker.tools.check_config import load
from transcriber_worker.tools.problem import Problem

DEFAULTS = {name: field.get_default().model_dump() for name, field in Settings.model_fields.items()}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the machine's own environment says stays out."""
    for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def settings(text: str | None = None) -> Settings:
    loaded = load(written(text))
    assert isinstance(loaded, Settings), [str(problem) for problem in loaded]
    return loaded


def refused(text: str | None = None) -> list[Problem]:
    loaded = load(written(text))
    assert isinstance(loaded, list)
    return loaded


def written(text: str | None) -> Path | None:
    if text is None:
        return None
    file = Path("config.yaml")
    file.write_text(text, encoding="utf-8")
    return file


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name)


def test_without_a_file_there_are_defaults() -> None:
    assert settings().model_dump() == DEFAULTS
    assert settings().engine.concurrency == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "---\n"])
def test_an_empty_file_means_defaults(text: str) -> None:
    assert settings(text).model_dump() == DEFAULTS


def test_the_file_overrides_the_defaults_and_the_environment_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__ENGINE__CONCURRENCY", "5")
    chosen = settings("engine: {concurrency: 3, slab_s: 60}\nworker: {drain_s: 7}\n")
    assert (chosen.engine.concurrency, chosen.engine.slab_s, chosen.worker.drain_s) == (5, 60.0, 7.0)


def test_nested_sections_are_reached_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__BROKER__DIRECTORY__PATH", "/data/spool")
    monkeypatch.setenv("transcriber__broker__directory__lease_s", "5")
    directory = settings("broker: {directory: {poll_s: 2}}\n").broker.directory
    assert (directory.path, directory.lease_s, directory.poll_s) == (Path("/data/spool"), 5.0, 2.0)


def test_lists_are_written_as_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__STORAGE__ALLOWED_SOURCES", '["file:///a/", "oci://b@n/"]')
    assert settings().storage.allowed_sources == ("file:///a/", "oci://b@n/")


def test_a_list_that_is_no_json_is_refused_by_its_path_beside_other_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__STORAGE__ALLOWED_SOURCES", "file:///a/")
    monkeypatch.setenv("TRANSCRIBER__MODEL__BEAM_SIZE", "99")
    found = {problem.path: problem for problem in refused()}
    assert set(found) == {"storage.allowed_sources", "model.beam_size"}
    assert 'TRANSCRIBER__STORAGE__ALLOWED_SOURCES=\'["a", "b"]\'' in found["storage.allowed_sources"].remedy


@pytest.mark.parametrize(
    ("name", "path", "meant"),
    [
        ("TRANSCRIBER__ENGIN__CONCURRENCY", "engin", "engine"),
        ("TRANSCRIBER__ENGINE__CONCURENCY", "engine.concurency", "concurrency"),
        ("TRANSCRIBER__BROKER__DIRECTORY__PAHT", "broker.directory.paht", "path"),
        ("TRANSCRIBER__WORKR", "workr", "worker"),
        ("transcriber__engin__concurrency", "engin", "engine"),
    ],
)
def test_a_misspelt_variable_is_refused_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    (problem,) = refused()
    assert (problem.path, problem.message) == (path, "unknown setting")
    assert f"did you mean {meant}?" in problem.remedy


@pytest.mark.parametrize("name", ["TRANSCRIBER_PORT", "TRANSCRIBER_WORKER_SERVICE_HOST", "TRANSCRIBER", "HOME"])
def test_variables_that_a_cluster_sets_for_its_services_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:9090")
    assert settings().model_dump() == DEFAULTS


def test_every_problem_is_told_at_once_with_path_and_remedy() -> None:
    found = refused(
        "engin: {x: 1}\n"
        "engine: {concurrency: 0, slab_s: long}\n"
        "worker: {drain_s: -1, bogus: 2, max_jobs_in_flight: some}\n"
        "broker: {kind: rabbitmq, directory: {pth: x}}\n"
        "transcript: [1]\n"
    )
    assert {problem.path for problem in found} == {
        "engin",
        "engine.concurrency",
        "engine.slab_s",
        "worker.drain_s",
        "worker.bogus",
        "worker.max_jobs_in_flight",
        "broker.kind",
        "broker.directory.pth",
        "transcript",
    }
    assert all(problem.message and problem.remedy for problem in found)


@pytest.mark.parametrize(
    "path",
    [
        "worker.max_jobs_in_flight",
        "media.processes",
        "media.cpu_permits",
        "engine.max_batch_windows",
        "engine.batch_memory_bytes",
    ],
)
@pytest.mark.parametrize("count", ["0", "-1", "1.5", "many"])
def test_a_count_is_at_least_one_or_auto_and_told_of_once(path: str, count: str) -> None:
    section, name = path.split(".")
    (problem,) = refused(f"{section}: {{{name}: {count}}}\n")
    assert problem.path == path
    assert "'auto'" in problem.message


def test_an_unknown_setting_is_told_with_those_there_are() -> None:
    (problem,) = refused("broker: {directory: {pth: x}}\n")
    assert "lease_s" in problem.remedy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- engine\n- worker\n", "list"),
        ("engine\n", "str"),
        ("42\n", "int"),
        ("engine: [\n", "line 2"),
        ("engine: {concurrency: 3}\nengine: {slab_s: 60}\n", "line 2: 'engine' stands twice"),
        ("engine:\n  concurrency: 3\n  concurrency: 4\n", "line 3: 'concurrency' stands twice"),
        ("model: {name: !!python/object/apply:os.getcwd []}\n", "tag"),
        ("? [a]\n: b\n", "unhashable"),
    ],
)
def test_a_file_that_can_not_be_understood_is_told_why(text: str, told: str) -> None:
    (problem,) = refused(text)
    assert problem.path == "config.yaml"
    assert told in problem.message


def test_a_file_that_is_no_utf_8_or_no_file_is_told() -> None:
    Path("config.yaml").write_bytes(b"worker: {id: \xff}\n")
    for file in (Path("config.yaml"), Path("missing.yaml"), Path()):
        assert isinstance(load(file), list)


@pytest.mark.parametrize("text", ["1: 2\n", "engine: {1: 2}\n", "null: 2\n", "true: {}\n"])
def test_keys_that_are_no_text_are_refused(text: str) -> None:
    assert refused(text)


def test_a_section_left_empty_is_told() -> None:
    (problem,) = refused("engine:\n")
    assert (problem.path, problem.message) == ("engine", "not a section")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "", "-x", "a b", "x" * 129])
def test_a_workers_name_is_one_plain_folder_name(name: str) -> None:
    """It names a folder that is removed with everything in it."""
    (problem,) = refused(f"worker: {{id: '{name}'}}\n")
    assert problem.path == "worker.id"


@pytest.mark.parametrize("name", ["w1", "gpu-node-7.example.com-1234", "x" * 128])
def test_host_names_will_do_for_workers(name: str) -> None:
    assert settings(f"worker: {{id: '{name}'}}\n").worker.id == name


def test_paths_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    chosen = settings("broker: {directory: {path: ~/spool}}\nmodel: {cache_dir: ~nobody-here/x}\n")
    assert chosen.broker.directory.path == Path("/home/me/spool")
    assert chosen.model.cache_dir == Path("~nobody-here/x")


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_no_number_is_infinite(value: str) -> None:
    (problem,) = refused(f"worker: {{drain_s: {value}}}\n")
    assert "finite" in problem.message


def test_yaml_anchors_and_merges_work() -> None:
    text = "engine: &common {concurrency: 3}\nbroker: {directory: {<<: {lease_s: 9}, poll_s: 1}}\n"
    chosen = settings(text)
    assert (chosen.engine.concurrency, chosen.broker.directory.lease_s) == (3, 9.0)


def test_a_problem_never_tells_the_value_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__MODEL__BEAM_SIZE", "hunter2")
    monkeypatch.setenv("TRANSCRIBER__STORAGE", "hunter2")
    assert "hunter2" not in " ".join(map(str, refused("worker: {drain_s: hunter2}\n")))


def test_loading_one_file_leaves_nothing_behind_for_the_next() -> None:
    assert settings("engine: {concurrency: 3}\n").engine.concurrency == 3
    assert settings().engine.concurrency == 2


def test_settings_can_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().engine.concurrency = 9  # type: ignore[misc]


@pytest.mark.parametrize("path", list(leaves(Settings)), ids=".".join)
def test_every_setting_is_described(path: tuple[str, ...]) -> None:
    model: type[BaseModel] = Settings
    for name in path[:-1]:
        inner = model.model_fields[name].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    assert model.model_fields[path[-1]].description


@pytest.mark.parametrize("path", list(leaves(Settings)), ids=".".join)
def test_every_setting_is_read_somewhere(path: tuple[str, ...]) -> None:
    """A setting that nothing reads is a promise that nothing keeps."""
    package = Path(__file__).parents[2] / "src" / "transcriber_worker"
    sources = [file for file in package.rglob("*.py") if file.name not in ("settings.py", "check_config.py")]
    assert any(f".{path[-1]}" in file.read_text(encoding="utf-8") for file in sources)


def test_defaults_survive_a_round_trip_through_yaml() -> None:
    """What `docs/configuration.md` shows as defaults can be pasted into a file."""
    dumped = settings().model_dump(mode="json")
    assert settings(yaml.safe_dump(dumped)).model_dump() == DEFAULTS
