"""A contender of this worker's own, in its process: what it says it runs on is what it runs on."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.speech import MODELS, PROJECT
from transcriber_worker.app.bench import start_contender
from transcriber_worker.tools.bench.contenders import Kind, Spec
from transcriber_worker.tools.bench.remote import ContenderFailed, RemoteChild

pytestmark = pytest.mark.model
OURS = Spec("batched-torch", Kind.BATCHED, "ours", beam_size=1, workers=1, max_batch_windows=3)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    model = f"cache_dir: {json.dumps(str(MODELS.absolute()))}, offline: true, cpu_threads: 1, device: cpu"
    file.write_text(f"model: {{{model}}}\n")
    return file


def spoil_torch(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages.mkdir()
    (packages / "torch.py").write_text("raise ImportError('there is no libcudart')\n")
    monkeypatch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)


def test_an_encoder_that_cannot_be_used_is_a_failure_and_not_another_one_under_its_name(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_torch(tmp_path / "packages", monkeypatch)
    spec = Spec(OURS.name, OURS.kind, OURS.what, beam_size=1, workers=1, encoder="torch")
    with pytest.raises(ContenderFailed, match="encoder torch can't be used, ctranslate2 would be"):
        start_contender(config, None, tmp_path / "logs", spec)
    assert "there is no libcudart" in (tmp_path / "logs" / "batched-torch-beam1.log").read_text()


def test_nor_are_cells_measured_under_its_name(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_torch(tmp_path / "packages", monkeypatch)
    paths = [str(PROJECT / "demo" / "recordings" / "ferry-notice.wav")]
    order = {"config": str(config), "model": {"name": "base"}, "encoder": "torch", "beam_size": 1, "streams": 1}
    command = [sys.executable, "-m", "transcriber_worker.app.bench_cells_child", json.dumps({**order, "paths": paths})]
    with pytest.raises(ContenderFailed, match="encoder torch can't be used, ctranslate2 would be"):
        RemoteChild("cells", command, tmp_path / "cells.log")


def test_it_tells_how_the_engine_really_works(config: Path, tmp_path: Path) -> None:
    contender = start_contender(config, None, tmp_path / "logs", OURS)
    contender.close()
    assert {name: contender.facts[name] for name in ("device", "encoder", "workers", "max_batch_windows")} == {
        "device": "cpu",
        "encoder": "ctranslate2",
        "workers": "1",
        "max_batch_windows": "3",
    }
    assert int(contender.facts["readers"]) >= 1
