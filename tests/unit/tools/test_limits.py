"""What fits the machine: readers, jobs, windows and weights against its memory, cores and GPU."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builders import make_settings
from tests.unit.inference.batched.model_bins import a_model
from tests.unit.tools.checked import LARGE, found
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.language import REACH
from transcriber_worker.inference.batched.plan import BATCHES_IN_FLIGHT
from transcriber_worker.settings import MIB
from transcriber_worker.tools import limits
from transcriber_worker.tools.check_config import problems
from transcriber_worker.tools.limits import (
    Machine,
    engine_plan,
    jobs_in_flight,
    lookahead,
    media_processes,
    needed_bytes,
)
from transcriber_worker.tools.problem import Problem


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
