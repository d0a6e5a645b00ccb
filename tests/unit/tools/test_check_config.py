"""`check-config`: what it finds in settings of the right form."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_settings
from tests.unit.tools.checked import found
from transcriber_worker.settings import MIB
from transcriber_worker.tools.check_config import place_problems
from transcriber_worker.tools.limits import Machine


def test_good_settings_have_no_problems(tmp_path: Path) -> None:
    assert found(tmp_path) == {}


@pytest.mark.parametrize(
    ("section", "key", "value", "path"),
    [
        ("worker", "backoff_s", 1000, "worker.backoff_s"),
        ("worker", "max_jobs_in_flight", 1, "worker.max_jobs_in_flight"),
        ("media", "processes", 1, "media.processes"),
        ("observability", "stall_s", 120, "observability.stall_s"),
        ("model", "name", "bass", "model.name"),
        ("storage", "output", "https://host/calls/", "storage.output"),
        ("storage", "output", "ftp://host/", "storage.output"),
        ("storage", "output", "", "storage.output"),
        ("storage", "state", "https://host/state/", "storage.state"),
        ("storage", "allowed_sources", ["file:///a/", "oci://calls@ns/", "ftp://host/"], "storage.allowed_sources.2"),
        ("storage", "allowed_outputs", ["https://host/"], "storage.allowed_outputs.0"),
        ("storage", "max_source_bytes", 10**18, "worker.scratch_dir"),
    ],
)
def test_what_can_not_work_is_refused_by_path_with_a_remedy(
    tmp_path: Path, section: str, key: str, value: Any, path: str
) -> None:
    sections: dict[str, Any] = {section: {key: value}}
    (problem,) = found(tmp_path, **sections).values()
    assert problem.path == path
    assert problem.remedy


def test_torch_is_no_matter_of_the_sequential_engine(tmp_path: Path) -> None:
    """Who asked for it by name would think that it encodes."""
    assert set(found(tmp_path, engine={"kind": "sequential", "encoder": "torch"})) == {"engine.encoder"}
    assert found(tmp_path, engine={"kind": "sequential", "encoder": "auto"}) == {}
    assert found(tmp_path, engine={"encoder": "torch"}) == {}


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    told = found(
        tmp_path,
        Machine(MIB, 1),
        storage={"output": "https://host/"},
        model={"name": "bass"},
        worker={"backoff_s": 1000},
        observability={"stall_s": 1},
    )
    assert set(told) == {
        "storage.output",
        "model.name",
        "worker.backoff_s",
        "observability.stall_s",
        "media.memory_limit_bytes",
    }


def test_what_can_only_be_read_is_no_output(tmp_path: Path) -> None:
    problem = found(tmp_path, storage={"output": "https://host/", "allowed_sources": ["https://host/"]})
    assert problem["storage.output"].message == "nothing can be written to https://"
    assert "oci://" in problem["storage.output"].remedy
    assert len(problem) == 1


def test_the_places_are_checked_for_every_command(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, storage={"output": "http://host/p/secret/"})
    (problem,) = place_problems(settings)
    assert problem.path == "storage.output"
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("section", "key", "path"),
    [
        ("broker", "directory", "broker.directory.path"),
        ("storage", "output", "storage.output"),
        ("storage", "state", "storage.state"),
        ("worker", "scratch_dir", "worker.scratch_dir"),
        ("model", "cache_dir", "model.cache_dir"),
    ],
)
def test_a_directory_that_can_not_be_made_is_told(tmp_path: Path, section: str, key: str, path: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    value: Any = str(blocked / "below")
    changes: dict[str, Any] = {section: {key: {"path": value} if key == "directory" else value}}
    if section == "model":
        changes["model"]["name"] = "base"
    told = found(tmp_path, **changes)
    assert str(blocked) in told[path].message
    assert "writable" in told[path].remedy


def test_a_directory_on_a_read_only_file_system_is_told(tmp_path: Path) -> None:
    assert "worker.scratch_dir" in found(tmp_path, worker={"scratch_dir": "/proc/self/scratch"})


def test_a_directory_that_can_be_made_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert found(tmp_path, worker={"scratch_dir": str(tmp_path / "a/b/c")}) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lasting", ["spool", "transcripts", "models"])
def test_nothing_that_lasts_may_lie_on_scratch(tmp_path: Path, lasting: str) -> None:
    """What is old there is removed when a worker starts."""
    sections: dict[str, Any] = {"model": {"cache_dir": str(tmp_path / "models")}}
    for scratch in (tmp_path, tmp_path / lasting):
        problem = found(tmp_path, worker={"scratch_dir": str(scratch)}, **sections)["worker.scratch_dir"]
        assert "lies in it" in problem.message
    assert found(tmp_path, worker={"scratch_dir": str(tmp_path / lasting / "scratch")}, **sections) == {}


@pytest.mark.parametrize("key", ["output", "state"])
def test_nothing_of_ours_may_be_written_to_the_inbox(tmp_path: Path, key: str) -> None:
    """Each transcript there would be a request of its own."""
    (tmp_path / "link").symlink_to(tmp_path / "spool" / "inbox")
    for place in ("spool/inbox", "spool/inbox/calls", "link/calls"):
        assert "inbox" in found(tmp_path, storage={key: str(tmp_path / place)})[f"storage.{key}"].message
    assert found(tmp_path, storage={key: str(tmp_path / "spool" / "inbox2")}) == {}


def test_a_model_directory_needs_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    problem = found(tmp_path, model={"name": str(folder)})["model.sha256"]
    assert f"sha256sum {folder}/model.bin" in problem.remedy
    assert found(tmp_path, model={"name": str(folder), "sha256": "0a" * 32}) == {}


def test_an_unknown_model_is_told_with_the_known_ones(tmp_path: Path) -> None:
    assert "large-v3-turbo" in found(tmp_path, model={"name": "large-v3-turbos"})["model.name"].remedy


def test_a_model_that_is_missing_and_may_not_be_fetched_is_told(tmp_path: Path) -> None:
    model = {"name": "base", "offline": True, "cache_dir": str(tmp_path / "models")}
    assert str(tmp_path / "models" / "base") in found(tmp_path, model=model)["model.offline"].message
    (tmp_path / "models" / "base").mkdir(parents=True)
    assert found(tmp_path, model=model) == {}
