"""`bench-gpu`: what is asked for, what is written, and what it exits with."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Terminal
from tests.unit.tools.bench.gpu.report_builders import a_report
from transcriber_worker.app.bench_gpu import GpuBenchOrder, Keep
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.tools.bench.gpu.report import GpuReport
from transcriber_worker.tools.bench.recordings import NoRecordings


class Runs:
    """Stands in for the measurement."""

    def __init__(self) -> None:
        self.orders: list[GpuBenchOrder] = []
        self.report = a_report(cells=())
        self.breaks: Exception | None = None

    def __call__(self, order: GpuBenchOrder, _settings: Any, _config: Any, _tell: Any, keep: Keep) -> GpuReport:
        self.orders.append(order)
        if not order.audio.exists():
            raise NoRecordings("there are no recordings")
        keep(self.report)
        if self.breaks is not None:
            raise self.breaks
        return self.report


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr("transcriber_worker.app.bench_gpu.run_bench_gpu", found)
    return found


def test_table_json_and_picture_are_written(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    answer = terminal.call("bench-gpu", "--out", tmp_path / "found", "--audio", tmp_path)
    assert answer.code == ExitCode.OK
    written = {path.name: path.read_text() for path in (tmp_path / "found").iterdir()}
    assert set(written) == {"benchmark-gpu.json", "benchmark-gpu.md", "benchmark-gpu.svg"}
    assert json.loads(written["benchmark-gpu.json"])["version"] == 1
    assert written["benchmark-gpu.md"] in answer.out
    assert written["benchmark-gpu.svg"].startswith("<svg")


def test_by_default_both_large_models_are_measured_in_every_way(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    terminal.call("bench-gpu", "--audio", tmp_path, "--out", tmp_path)
    (order,) = runs.orders
    assert (order.models, order.beams, order.streams) == (("turbo", "large-v3"), (1, 5), (1, 2, 3))
    assert order.batches == (1, 2, 4, 8, 16, 32, 64)
    assert order.parts is None  # all that can be
    assert (order.files, order.long_s, order.rounds, order.dry_run) == (12, 660.0, 3, False)


def test_a_dry_run_is_small_and_what_is_asked_for_comes_first(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    options = ("--dry-run", "--batches", "2", "4", "2", "--rounds", "5", "--parts", "cells")
    terminal.call("bench-gpu", *options, "--audio", tmp_path, "--out", tmp_path)
    (order,) = runs.orders
    assert (order.dry_run, order.models, order.files) == (True, ("tiny",), 2)
    assert (order.batches, order.rounds) == ((2, 4), 5)
    assert order.parts == frozenset({"cells"})


def test_a_failure_is_the_exit_code(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    runs.report = a_report()
    answer = terminal.call("bench-gpu", "--audio", tmp_path, "--out", tmp_path)
    assert answer.code == ExitCode.JOB_FAILED
    assert "FAILED" in answer.out


def test_what_was_found_before_something_broke_is_kept(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    runs.breaks = WorkerBroken("the power went")
    answer = terminal.call("bench-gpu", "--audio", tmp_path, "--out", tmp_path / "found")
    assert answer.code == ExitCode.WORKER_BROKEN
    assert GpuReport.model_validate_json((tmp_path / "found" / "benchmark-gpu.json").read_text()) == runs.report


def test_no_recordings_are_a_wrong_use(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    answer = terminal.call("bench-gpu", "--audio", tmp_path / "nowhere", "--out", tmp_path)
    assert answer.code == ExitCode.USAGE


def test_a_full_disk_is_told_on_one_line(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    runs.breaks = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    answer = terminal.call("bench-gpu", "--audio", tmp_path, "--out", tmp_path / "found")
    assert (answer.code, answer.err) == (ExitCode.USAGE, f"{tmp_path / 'found'}: No space left on device\n")


def test_a_folder_that_can_not_be_made_is_told_on_one_line(terminal: Terminal, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "found").write_text("not a folder")
    answer = terminal.call("bench-gpu", "--audio", tmp_path, "--out", tmp_path / "found")
    assert (answer.code, answer.err) == (ExitCode.USAGE, f"{tmp_path / 'found'}: File exists\n")


def test_the_help_tells_what_is_measured_by_default(terminal: Terminal, runs: Runs) -> None:
    shown = " ".join(terminal.call("bench-gpu", "--help", config=False).out.split())
    terminal.call("bench-gpu", "--audio", ".")
    (order,) = runs.orders
    for values in (order.models, order.beams, order.batches, order.streams):
        assert f"default: {' '.join(map(str, values))} " in shown
    assert f"files that are transcribed; default: {order.files} " in shown
    assert f"length of each; default: {order.long_s:g} " in shown
