"""What `bench-gpu` needs for what it is asked to measure, and what it has told by when. The random model and the small
one are real; contenders answer by script."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_settings
from tests.media_files import RECORDINGS
from tests.speech import MODELS
from tests.unit.tools.bench.scripted import TEXT, Contest, a_workload
from transcriber_worker.app import bench_gpu
from transcriber_worker.app.bench_gpu import GpuBenchOrder, run_bench_gpu
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.settings import Settings
from transcriber_worker.tools.bench.contenders import Spec
from transcriber_worker.tools.bench.gpu.cells import Effort
from transcriber_worker.tools.bench.gpu.contenders import correctness_specs, files_specs
from transcriber_worker.tools.bench.gpu.report import GpuReport
from transcriber_worker.tools.bench.recordings import NoRecordings

pytestmark = pytest.mark.model


class Run:
    """A dry run, unless told otherwise, whose contenders need no model."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out = folder / "out"
        self.lines: list[str] = []
        self.kept: list[GpuReport] = []
        self.cache = MODELS
        self._folder = folder
        contest = Contest()
        specs = (*files_specs(torch=True), *correctness_specs(torch=True, cuda=False))
        contest.seconds = {spec.name: 1.0 for spec in specs}

        def start(_config: Any, _model: Any, _logs: Path, spec: Spec) -> Any:
            return contest.start(spec)

        monkeypatch.setattr(bench_gpu, "start_contender", start)
        monkeypatch.setattr(bench_gpu, "make_workloads", lambda *_, **__: (a_workload(TEXT),))

    def __call__(self, parts: set[str] | None, audio: Path = RECORDINGS, **changes: Any) -> GpuReport:
        order: dict[str, Any] = {
            "audio": audio,
            "out": self.out,
            "models": ("tiny",),
            "parts": frozenset(parts) if parts else None,
            "beams": (1, 5),
            "batches": (1,),
            "streams": (1,),
            "effort": Effort(1, 0.1),
            "rounds": 2,
            "files": 1,
            "long_s": 10.0,
            "dry_run": True,
        }
        return run_bench_gpu(
            GpuBenchOrder(**(order | changes)), self.settings, None, self.lines.append, self.kept.append
        )

    @property
    def settings(self) -> Settings:
        return make_settings(self._folder, model={"name": "base", "cache_dir": self.cache, "offline": True})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """Recordings of which nobody knows what is said in them."""
    folder = tmp_path / "calls"
    folder.mkdir()
    shutil.copy(RECORDINGS / "ferry-notice.wav", folder)
    return folder


def test_files_are_told_of_after_each_round_and_need_no_weights_of_the_small_model(run: Run, tmp_path: Path) -> None:
    shutil.copytree(MODELS / "base", tmp_path / "cache" / "base", ignore=shutil.ignore_patterns(WEIGHTS))
    run.cache = tmp_path / "cache"
    report = run({"files"})
    rounds = [
        (len({row.beam_size for row in one.files[0].report.rows}), one.files[0].report.rounds) for one in run.kept
    ]
    assert rounds == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(len(one.files) == 1 for one in run.kept)
    assert all(row.failed is None for one in run.kept for row in one.files[0].report.rows)
    assert report == run.kept[-1]


def test_correctness_alone_needs_no_random_model(run: Run) -> None:
    report = run({"correctness"})
    assert report.correctness is not None
    assert not report.correctness.failed
    assert {row.beam_size for row in report.correctness.report.rows} == {5}
    assert not (run.out / "models").exists()
    assert report.models == ()


def test_without_a_known_text_correctness_is_left_out(run: Run, unknown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "_cells", lambda *_: iter(()))
    report = run(None, unknown)
    assert report.correctness is None
    assert len(report.files) == 1
    assert any("no recording's text is known" in line for line in run.lines)


def test_correctness_that_was_asked_for_by_name_needs_a_known_text(run: Run, unknown: Path) -> None:
    with pytest.raises(NoRecordings, match=r"no recording's text is known.*--parts cells files"):
        run({"correctness", "files"}, unknown)
    assert run.kept == []


def test_without_a_gpu_nothing_is_measured_in_its_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(WorkerBroken, match=r"no GPU to measure: CTranslate2 finds none.*--dry-run"):
        run({"files"}, dry_run=False)
    assert run.kept == []
    assert not run.out.exists()
