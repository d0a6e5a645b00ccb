"""How a model is loaded."""

from pathlib import Path
from typing import Any

import pytest

from transcriber_worker.inference import loading
from transcriber_worker.inference.loading import LoadedModel, Runtime
from transcriber_worker.inference.model_files import ModelFiles


@pytest.mark.parametrize(("device", "expected"), [("cuda", ["cuBLAS", "model"]), ("cpu", ["model"])])
def test_cublas_is_there_before_a_model_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, expected: list[str]
) -> None:
    done: list[str] = []

    def no_model(*_: Any, **__: Any) -> None:
        done.append("model")
        raise RuntimeError("no model here")

    monkeypatch.setattr(loading, "load_cublas", lambda: done.append("cuBLAS"))
    monkeypatch.setattr("faster_whisper.WhisperModel", no_model)
    runtime = Runtime(device, "auto", beam_size=1, workers=1, cpu_threads=1)
    with pytest.raises(RuntimeError, match="no model here"):
        LoadedModel(ModelFiles("base", tmp_path, ""), runtime)
    assert done == expected
