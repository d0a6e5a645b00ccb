"""What a GPU does to torch's encoder, and what that does to the engine: nothing is lost, nothing goes on with a dead
one. The real small model; a GPU that fails as told."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.scripted_engine import Engine, ask
from tests.speech import PROJECT, decoded
from tests.torch.devices import FakeGpu
from tests.torch.models import a_meter
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.errors import RetryJob, WorkerBroken
from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.rows import Recipe, Row
from transcriber_worker.inference.batched.torch_encoder.encoder import TorchEncoder
from transcriber_worker.inference.loading import CUBLAS, Runtime
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles

pytestmark = pytest.mark.model
TIMEOUT_S = 240.0
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.37 GiB.")
DEAD = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
LOADING = 1
"""The first turn of a GPU is that in which the weights are read."""


@pytest.fixture(scope="module")
def model(base_files: ModelFiles) -> WhisperBatchModel:
    runtime = Runtime("cpu", "int8", beam_size=1, workers=1, cpu_threads=1)
    return WhisperBatchModel.load(base_files, runtime, a_meter())


@pytest.fixture
def on_gpu(
    model: WhisperBatchModel, base_files: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> Callable[[FakeGpu], WhisperBatchModel]:
    """The model with torch's encoder on this GPU."""

    def made(gpu: FakeGpu) -> WhisperBatchModel:
        extractor = model._loaded.whisper.feature_extractor
        encoder = TorchEncoder(base_files.path / WEIGHTS, extractor, gpu, torch.float32, a_meter())
        monkeypatch.setattr(model, "_encoder", encoder)
        gpu.log.clear()
        return model

    return made


OnGpu = Callable[[FakeGpu], WhisperBatchModel]


def a_row(seconds: float = 2.0) -> Row:
    pcm = decoded(PROJECT / "demo" / "recordings" / "ferry-notice.wav")[: round(seconds * SAMPLE_RATE_HZ)]
    return Row(pcm, 400, Recipe(), Task.TRANSCRIBE, (), "en", lambda ranking: ranking[0][0])


def failing(error: Exception, *turns: int) -> Callable[[int], None]:
    def trouble(number: int) -> None:
        if number - LOADING in turns:
            raise error

    return trouble


class Watched:
    """CTranslate2's model, whose texts fail once."""

    def __init__(self, model: Any, error: Exception) -> None:
        self._model = model
        self._errors = [error]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, *args: Any, **options: Any) -> Any:
        if self._errors:
            raise self._errors.pop()
        return self._model.generate(*args, **options)


def test_states_are_waited_for_before_the_decoder_is_given_them(on_gpu: OnGpu) -> None:
    gpu = FakeGpu()
    on_gpu(gpu).decode([a_row()])
    assert gpu.log[:3] == ["turn", "settle", "settle"]  # features, states
    assert set(gpu.log[3:]) == {"hand over"}


def test_rows_of_unknown_language_are_picked_without_a_turn(on_gpu: OnGpu) -> None:
    """They would wait for the batch that another worker has encoded."""
    gpu = FakeGpu()
    unknown = Row(a_row().pcm, 400, Recipe(), Task.TRANSCRIBE, (), None, lambda ranking: ranking[0][0])
    heard = on_gpu(gpu).decode([unknown, a_row(), unknown])
    assert [row.language for row in heard] == ["en", "en", "en"]
    assert gpu.log.count("turn") == 1
    assert gpu.log.count("pick") == 1


def test_memory_that_runs_out_shrinks_batches_and_loses_nothing(on_gpu: OnGpu) -> None:
    gpu = FakeGpu(failing(NO_MEMORY, 1))
    engine = Engine(on_gpu(gpu), cap=4)
    desk = engine.open()
    rows = [ask(desk, a_row()) for _ in range(4)]
    engine.dispatcher.start()
    try:
        texts = {future.result(TIMEOUT_S).text for future in rows}
    finally:
        engine.dispatcher.close()
    assert len(texts) == 1
    assert "ferry" in texts.pop().lower()
    assert engine.figure("accelerator_out_of_memory_total") == 1
    assert engine.figure("batch_cap_rows") == 2
    assert gpu.log.count("turn") == 3


@pytest.mark.parametrize(
    "of_decoder",
    [None, RuntimeError("CUDA failed with error out of memory"), MemoryError("std::bad_alloc")],
    ids=["encoder", "decoder", "decoder on the CPU"],
)
def test_what_torch_keeps_is_given_back_before_the_next_try(
    on_gpu: OnGpu, monkeypatch: pytest.MonkeyPatch, of_decoder: Exception | None
) -> None:
    """It keeps what was freed for later, which the decoder could use now; once."""
    gpu = FakeGpu(failing(NO_MEMORY, 1) if of_decoder is None else failing(NO_MEMORY))
    model = on_gpu(gpu)
    if of_decoder is not None:
        lacking = Watched(model._loaded.whisper.model, of_decoder)
        monkeypatch.setattr(model._loaded.whisper, "model", lacking)
    with pytest.raises(RetryJob, match="out of memory"):
        model.decode([a_row()])
    assert "trim" not in gpu.log  # the error held on to all of it
    gpu.log.clear()
    for _ in range(2):
        model.decode([a_row()])
    assert gpu.log[:2] == ["turn", "trim"]
    assert gpu.log.count("trim") == 1


def test_what_torch_keeps_is_given_back_when_it_is_asked_for(on_gpu: OnGpu) -> None:
    gpu = FakeGpu()
    model = on_gpu(gpu)
    model.decode([a_row()])
    assert "trim" not in gpu.log
    gpu.log.clear()
    model.release()
    model.decode([a_row()])
    assert gpu.log[:2] == ["turn", "trim"]


def test_a_dead_gpu_ends_the_worker_with_nothing_settled(on_gpu: OnGpu) -> None:
    """Every later call would fail, some of them by killing the process."""
    gpu = FakeGpu(failing(DEAD, 1))
    engine = Engine(on_gpu(gpu), cap=1)
    desk = engine.open()
    rows = [ask(desk, a_row()) for _ in range(3)]
    engine.dispatcher.start()
    for future in rows:
        assert isinstance(future.exception(TIMEOUT_S), WorkerBroken)
    with pytest.raises(WorkerBroken, match="illegal memory access"):
        engine.open()
    engine.dispatcher.close()
    assert gpu.log.count("turn") == 1


def test_the_warm_up_goes_through_torch(on_gpu: OnGpu) -> None:
    gpu = FakeGpu(failing(NO_MEMORY, 1))
    with pytest.raises(RetryJob, match="out of memory"):
        on_gpu(gpu).warm_up(3)


def test_cublas_is_found_where_python_packages_are() -> None:
    """CTranslate2 asks the system for it by name, and the system does not look there."""
    pytest.importorskip("nvidia.cublas", reason="no nvidia-cublas-cu12 is installed")
    found = {where: _asked_for_cublas(script) for where, script in SCRIPTS.items()}
    if found["without"] == "found":
        pytest.skip("the system has cuBLAS itself")
    assert found == {"without": "missing", "with": "found"}


_ASK = f"""
import ctypes
try:
    ctypes.CDLL("{CUBLAS}")
except OSError:
    print("missing")
else:
    print("found")
"""
SCRIPTS = {
    "without": _ASK,
    "with": f"from transcriber_worker.inference.loading import load_cublas\nload_cublas(){_ASK}",
}


def _asked_for_cublas(script: str) -> str:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.strip()
