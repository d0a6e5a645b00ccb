"""`bench-gpu --dry-run`, what `make bench-gpu DRY_RUN=1` runs: a tiny random model, the small real one, real processes,
on the CPU."""

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.benchmark_reports import assert_can_be_shown
from tests.media_files import RECORDINGS
from tests.speech import MODELS
from transcriber_worker.tools.bench.gpu.report import GpuReport

pytestmark = [pytest.mark.model, pytest.mark.timeout(1200)]
TORCH = importlib.util.find_spec("torch") is not None
ENCODERS = ("ctranslate2", "torch") if TORCH else ("ctranslate2",)
OURS = [f"batched-{encoder}" for encoder in ENCODERS]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run has left its results."""
    folder = tmp_path_factory.mktemp("bench-gpu")
    settings = f"model: {{cache_dir: {json.dumps(str(MODELS.absolute()))}, offline: true, cpu_threads: 1}}\n"
    (folder / "config.yaml").write_text(settings)
    options = ["--dry-run", "--audio", str(RECORDINGS), "--out", "found", "--config", "config.yaml"]
    command = [sys.executable, "-m", "transcriber_worker", "bench-gpu", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "DRY RUN" in done.stdout
    return folder / "found"


@pytest.fixture(scope="module")
def report(found: Path) -> GpuReport:
    return GpuReport.model_validate_json((found / "benchmark-gpu.json").read_text())


def test_the_report_keeps_its_schema_and_names_no_host(found: Path) -> None:
    assert_can_be_shown(found / "benchmark-gpu.json")


def test_every_cell_was_measured_with_the_encoder_that_was_asked_for(report: GpuReport) -> None:
    assert [(cell.encoder, cell.streams, cell.batch) for cell in report.cells] == [
        (encoder, streams, batch) for encoder in ENCODERS for streams in (1, 2) for batch in (1, 2)
    ]
    for cell in report.cells:
        assert cell.failed is None
        assert cell.facts["encoder"] == cell.encoder
        assert cell.times_real_time is not None
        assert cell.ms_per_window is not None
        assert cell.tokens_per_audio_s is not None
        assert 2.0 < cell.tokens_per_audio_s < 4.0
        assert all(cell.phase_ms[phase] > 0 for phase in ("features", "encode", "decode", "align"))


def test_a_stream_alone_is_in_one_phase_at_a_time(report: GpuReport) -> None:
    for cell in report.cells:
        if cell.streams == 1:
            assert cell.ms_per_window is not None
            assert sum(cell.phase_ms.values()) <= 1.05 * cell.ms_per_window.most


def test_everybody_transcribed_the_same_files_with_about_as_much_work(report: GpuReport) -> None:
    (files,) = report.files
    rows = {row.contender: row for row in files.report.rows}
    assert set(rows) == {"direct-3", "pipeline-3", *OURS}
    assert [row.failed for row in rows.values()] == [None] * len(rows)
    work = {name: row.tokens_per_audio_s for name, row in rows.items()}
    assert None not in work.values()
    assert max(work.values(), key=float) < 1.25 * min(work.values(), key=float), work  # type: ignore[arg-type, operator]
    for name in OURS:
        row = rows[name]
        assert set(row.ratios) == {"direct-3", "pipeline-3"}
        assert row.batches is not None
        assert (row.batches.holes_found, row.batches.again) == (0, {})
        assert row.media_cpu is not None


def test_what_binds_first_is_named(report: GpuReport) -> None:
    bounds = {bound.contender: bound for bound in report.files[0].bounds}
    for name in OURS:
        stages = [stage.name for stage in bounds[name].stages]
        assert sorted(stages) == ["all CPU work", "engine host, were it one thread", "media children"]


def test_the_small_real_model_hears_the_same_everywhere(report: GpuReport) -> None:
    correctness = report.correctness
    assert correctness is not None
    assert [(one.contender, one.within) for one in correctness.heard] == [(name, True) for name in OURS]
    assert all(one.wer is not None and one.wer < 0.1 for one in correctness.heard)


def test_the_table_says_that_there_was_no_gpu(found: Path) -> None:
    shown = (found / "benchmark-gpu.md").read_text()
    assert "says anything of any GPU" in shown
    assert "No GPU: nothing was shown of one" in shown
    ET.parse(found / "benchmark-gpu.svg")  # noqa: S314 - made here


def test_the_model_stays_for_the_next_run(found: Path) -> None:
    assert (found / "models" / "random-tiny" / "model.bin").stat().st_size > 10_000_000
