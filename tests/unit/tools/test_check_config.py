"""`check-config`: what it finds in settings of the right form, and the proof that they fit the machine."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builders import make_settings
from tests.unit.inference.batched.model_bins import a_model
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.language import REACH
from transcriber_worker.inference.batched.plan import BATCHES_IN_FLIGHT
from transcriber_worker.settings import MIB
from transcriber_worker.tools import limits
from transcriber_worker.tools.check_config import place_problems, problems
from transcriber_worker.tools.limits import (
    Machine,
    engine_plan,
    jobs_in_flight,
    lookahead,
    media_processes,
    needed_bytes,
)
from transcriber_worker.tools.problem import Problem

LARGE = Machine(memory_bytes=64 * 1024 * MIB, cores=8)


def found(folder: Path, machine: Machine = LARGE, **sections: Mapping[str, Any]) -> dict[str, Problem]:
    storage = {"max_source_bytes": MIB, **sections.pop("storage", {})}
    settings = make_settings(folder, storage=storage, **sections)
    return {problem.path: problem for problem in problems(settings, machine)}


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


def memory(tmp_path: Path, mib: int, **sections: Mapping[str, Any]) -> Problem | None:
    return found(tmp_path, Machine(mib * MIB, 4), **sections).get("media.memory_limit_bytes")


def test_the_readers_adapt_to_the_memory_there_is(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, media={"memory_limit_bytes": 1024 * MIB})
    without_readers = needed_bytes(settings, LARGE, jobs_in_flight(settings, LARGE), 0)
    for processes in (1, 2, 4):
        machine = Machine(without_readers + processes * 1024 * MIB, 4)
        assert media_processes(settings, machine) == processes
        assert not [one for one in problems(settings, machine) if one.path == "media.memory_limit_bytes"]
    plenty = Machine(without_readers + 100 * 1024 * MIB, 4)
    assert media_processes(settings, plenty) == 10
    assert jobs_in_flight(settings, plenty) == 12


def test_memory_for_not_even_one_reader_is_told(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    enough = needed_bytes(settings, LARGE, jobs_in_flight(settings, LARGE), 1) // MIB + 1
    assert memory(tmp_path, enough) is None
    problem = memory(tmp_path, enough - 2)
    assert problem is not None
    assert f"{enough - 2} MiB" in problem.message


def test_explicit_readers_that_do_not_fit_are_told(tmp_path: Path) -> None:
    assert memory(tmp_path, 8 * 1024, media={"processes": 4, "memory_limit_bytes": 1024 * MIB}) is None
    assert memory(tmp_path, 8 * 1024, media={"processes": 4, "memory_limit_bytes": 4096 * MIB}) is not None


@pytest.mark.parametrize("engine", [{}, {"max_batch_windows": 1, "workers": 1}, {"kind": "sequential"}])
@pytest.mark.parametrize("gpu", [True, False])
def test_a_clip_is_claimed_behind_one_long_file_more_than_there_are_readers(
    tmp_path: Path, engine: dict[str, Any], gpu: bool
) -> None:
    settings, machine = make_settings(tmp_path, engine=engine), replace(LARGE, gpu=gpu)
    assert jobs_in_flight(settings, machine) >= media_processes(settings, machine) + 1 + 1


def test_the_batching_engine_never_waits_for_a_language_that_waits_for_windows(tmp_path: Path) -> None:
    def ahead(kind: str) -> int:
        return lookahead(make_settings(tmp_path, engine={"kind": kind}, media={"windows_ahead": 1}), LARGE).least

    assert ahead("batched") >= REACH
    assert ahead("sequential") == 1


@pytest.mark.parametrize("max_batch_windows", ["auto", 32])
def test_batches_for_a_gpu_are_no_problem_there(tmp_path: Path, max_batch_windows: int | str) -> None:
    gpu = Machine(memory_bytes=128 * 1024 * MIB, cores=16, gpu=True)
    assert (
        found(tmp_path, gpu, model={"name": "fake", "device": "cuda"}, engine={"max_batch_windows": max_batch_windows})
        == {}
    )


POD_BYTES = 16 * 1024 * MIB
"""The chart's default."""


@pytest.mark.parametrize("gpu_gb", [None, 16, 24, 48, 80, 141])
def test_a_worker_with_nothing_set_fits_the_charts_pod_on_any_gpu(tmp_path: Path, gpu_gb: int | None) -> None:
    """And its batches get full: by one long file, by those that are read, and by short files alone."""
    machine = Machine(POD_BYTES, 4, gpu=True, gpu_bytes=None if gpu_gb is None else gpu_gb * 10**9)
    settings = make_settings(tmp_path, model={"name": "fake"}, storage={"max_source_bytes": MIB})
    assert problems(settings, machine) == []
    batch, ahead = engine_plan(settings, machine).batch, lookahead(settings, machine)
    readers, jobs = media_processes(settings, machine), jobs_in_flight(settings, machine)
    assert ahead.most > batch
    assert readers >= 4
    assert readers * ahead.least + ahead.shared >= BATCHES_IN_FLIGHT * batch
    assert jobs >= BATCHES_IN_FLIGHT * batch


@pytest.mark.parametrize(("gpu", "remedy"), [(True, "engine.cuda_streams"), (False, "engine.workers")])
def test_the_remedy_names_what_counts_on_this_device(tmp_path: Path, gpu: bool, remedy: str) -> None:
    told = found(tmp_path, Machine(MIB, 4, gpu=gpu))["media.memory_limit_bytes"].remedy
    assert [name for name in ("engine.cuda_streams", "engine.workers") if name in told] == [remedy]


def test_there_are_never_more_readers_than_jobs(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, media={"processes": 32}, worker={"max_jobs_in_flight": 3})
    assert media_processes(settings, LARGE) == 3


def test_the_weights_count_by_name_and_by_directory(tmp_path: Path) -> None:
    def needed(**model: Any) -> int:
        return needed_bytes(make_settings(tmp_path, model=model), LARGE, 1, 1)

    weights = tmp_path / "model" / "model.bin"
    weights.parent.mkdir()
    with weights.open("wb") as file:
        file.truncate(500 * MIB)
    assert needed(name="large-v3") - needed(name="base") == 3_087_284_237 - 145_217_532
    assert needed(name=str(weights.parent)) - needed(name="fake") == 500 * MIB


def test_torch_on_the_cpu_counts_with_its_own_weights_and_a_batch_at_once(tmp_path: Path) -> None:
    def more(model: str, **engine: Any) -> int:
        torch, plain = (
            needed_bytes(make_settings(tmp_path, model={"name": model}, engine={**engine, **kind}), LARGE, 1, 1)
            for kind in ({"encoder": "torch"}, {})
        )
        return torch - plain

    assert more("large-v3") == (500 + 4 * 100) * MIB + 4 * 637_009_920
    assert more("base", max_batch_windows=6) == (500 + 6 * 100) * MIB + 4 * 20_593_664
    assert more("large-v3", kind="sequential") == 0
    on_gpu = replace(LARGE, gpu=True)
    kinds = {kind: make_settings(tmp_path, engine={"encoder": kind}) for kind in ("auto", "torch", "ctranslate2")}
    needed = {kind: needed_bytes(settings, on_gpu, 1, 1) for kind, settings in kinds.items()}
    assert needed["auto"] == needed["torch"] == needed["ctranslate2"] + 500 * MIB
    weights = a_model(tmp_path / "model.bin", layers=2)
    assert more(str(weights.parent)) == (500 + 4 * 100) * MIB + 4 * Dimensions.read(weights).encoder_parameters


def test_scratch_in_memory_counts_and_on_disk_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needed(scratch: Path, **storage: Any) -> int:
        worker = {"scratch_dir": str(scratch), "max_scratch_bytes": 300 * MIB}
        return needed_bytes(make_settings(tmp_path, worker=worker, storage=storage), LARGE, 1, 1)

    class Partition:
        def __init__(self, mountpoint: Path, fstype: str) -> None:
            self.mountpoint = str(mountpoint)
            self.fstype = fstype

    disk, memory, over = tmp_path / "disk", tmp_path / "memory", tmp_path / "over"
    for folder in (disk, memory, over):
        folder.mkdir()
    (tmp_path / "link").symlink_to(memory)
    mounts = [
        Partition(Path("/"), "ext4"),
        Partition(over, "ext4"),
        Partition(memory, "tmpfs"),
        Partition(over, "tmpfs"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    on_disk = needed(disk, max_source_bytes=MIB)
    for scratch in (memory, memory / "a/b", tmp_path / "link" / "a", over):
        assert needed(scratch, max_source_bytes=MIB) - on_disk == 300 * MIB
    assert needed(memory, max_source_bytes=400 * MIB) - on_disk == 400 * MIB


def test_this_machine_has_memory_and_cores() -> None:
    machine = Machine.this()
    assert machine.memory_bytes > 64 * MIB
    assert machine.cores >= 1


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("50000 100000", 1), ("250000 100000", 2), ("800000 100000", 8)]
)
def test_a_containers_share_of_the_cores_is_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int | None
) -> None:
    control = tmp_path / "cpu.max"
    control.write_text(text)
    monkeypatch.setattr(limits, "_CPU_QUOTA", control)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert Machine.this().cores == (cores or 16)
