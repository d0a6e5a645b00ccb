"""`bench` itself, on two short recordings: real model, real processes, one round."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark_reports import assert_can_be_shown
from tests.media_files import RECORDINGS
from tests.speech import MODELS
from transcriber_worker.tools.bench.report import Report

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]
NAMES = ("ferry-notice.wav", "water-meter.wav")
CONTENDERS = ("direct", "pipeline", "sequential", "batched")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run has left its results."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "recordings").mkdir()
    for name in (*NAMES, "manifest.json"):
        shutil.copy(RECORDINGS / name, folder / "recordings")
    (folder / "config.yaml").write_text(f"model: {{cache_dir: {json.dumps(str(MODELS.absolute()))}}}\n")
    options = [
        *("--audio", "recordings", "--workloads", "folder", "clips", "--long-s", "15", "--clips", "2"),
        *("--rounds", "1", "--beams", "1", "--out", "found", "--config", "config.yaml"),
    ]
    command = [sys.executable, "-m", "transcriber_worker", "bench", *options, "--contenders", *CONTENDERS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder / "found"


@pytest.fixture(scope="module")
def report(found: Path) -> Report:
    return Report.model_validate_json((found / "benchmark.json").read_text())


def test_the_report_keeps_its_schema_and_names_no_host(found: Path) -> None:
    assert_can_be_shown(found / "benchmark.json")


def test_everybody_heard_everything(report: Report) -> None:
    assert [(row.workload, row.contender) for row in report.rows] == [
        (workload, name) for workload in ("folder", "clips") for name in CONTENDERS
    ]
    for row in report.rows:
        assert row.failed is None
        assert row.words is not None
        assert row.words.wer <= 0.1, row
        assert row.words.missing_run == ()
        assert row.timed_words >= 0.9 * row.words.words
        assert row.languages == {"en": 2}


def test_figures_hang_together(report: Report) -> None:
    direct = {row.workload: row for row in report.rows if row.contender == "direct"}
    for row in report.rows:
        base = direct[row.workload]
        assert row.wall_s is not None
        assert row.cpu_s is not None
        assert base.wall_s is not None
        assert row.ratios["direct"].wall.median == pytest.approx(base.wall_s.median / row.wall_s.median, rel=0.01)
        assert row.cpu_s.median > 0.1
        assert row.peak_bytes is not None
        assert 100e6 < row.peak_bytes < 4e9


def test_the_batching_engine_tells_of_its_batches(report: Report) -> None:
    for row in report.rows:
        assert (row.batches is not None) == (row.contender == "batched")
        assert (row.media_cpu is not None) == (row.contender in ("sequential", "batched"))
        if row.batches is not None:
            assert row.batches.rows_per_batch * row.batches.batches >= len(NAMES)
            assert 0 < sum(row.batches.busy.values()) <= 1
            assert row.batches.busy["encode"] > 0


def test_clips_are_there_to_be_listened_to(found: Path) -> None:
    assert {path.name for path in (found / "audio").iterdir()} == {"long.wav", "clip-01.wav", "clip-02.wav"}
