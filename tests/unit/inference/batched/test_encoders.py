"""Which encoder is used where torch is not installed. What happens where it is: tests/torch/."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.batched.encoder import CTranslate2Encoder, Encoder
from transcriber_worker.inference.batched.encoders import encoder_for
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EncoderKind


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))


def chosen(kind: EncoderKind, device: str) -> Encoder:
    runtime = Runtime(device, "float16", beam_size=5, workers=2, cpu_threads=1, encoder=kind)
    meter = Meter(Metrics(CollectorRegistry()), SystemClock())
    return encoder_for(ModelFiles("mine", Path("nowhere"), "0" * 64), SimpleNamespace(), runtime, meter)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("kind", [EncoderKind.AUTO, EncoderKind.CTRANSLATE2])
def test_ctranslate2_encodes(kind: EncoderKind, device: str) -> None:
    assert isinstance(chosen(kind, device), CTranslate2Encoder)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_torch_that_was_asked_for_by_name_is_missed(device: str) -> None:
    with pytest.raises(WorkerBroken, match=r"install transcriber-worker\[torch-encoder\]"):
        chosen(EncoderKind.TORCH, device)


def test_the_engine_does_not_import_torch() -> None:
    """It takes seconds and hundreds of megabytes, also where nobody wants it."""
    script = "import sys; import transcriber_worker.inference.batched.engine; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
