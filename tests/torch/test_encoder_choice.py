"""Torch's encoder is used where it is wanted and hears what CTranslate2's hears; else that one is, and it is told."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.torch.devices import FakeGpu
from tests.torch.models import a_meter, loaded
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.batched.encoder import CTranslate2Encoder, Encoder
from transcriber_worker.inference.batched.encoders import encoder_for
from transcriber_worker.inference.batched.torch_encoder.encoder import TorchEncoder
from transcriber_worker.inference.batched.torch_encoder.network import Norm
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.settings import EncoderKind

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def whisper(base_files: ModelFiles) -> Any:
    return loaded(base_files.path)


def a_runtime(encoder: EncoderKind = EncoderKind.TORCH, *, device: str = "cpu") -> Runtime:
    return Runtime(device, "float32", beam_size=1, workers=1, cpu_threads=1, encoder=encoder)


class Choosing:
    """`encoder_for` of the real small model."""

    def __init__(self, files: ModelFiles, whisper: Any) -> None:
        self.files = files
        self.whisper = whisper

    def __call__(self, runtime: Runtime, gpu: FakeGpu | None = None) -> Encoder:
        device_of = None if gpu is None else lambda _: gpu
        return encoder_for(self.files, self.whisper, runtime, a_meter(), device_of)


@pytest.fixture
def chosen(base_files: ModelFiles, whisper: Any) -> Choosing:
    return Choosing(base_files, whisper)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if "engine.encoder_fallback" in line]


def raising(error: Exception, at: int) -> Callable[[int], None]:
    def trouble(number: int) -> None:
        if number == at:
            raise error

    return trouble


def test_torch_is_used_where_it_hears_the_same(chosen: Choosing, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(chosen(a_runtime()), TorchEncoder)
    assert isinstance(chosen(a_runtime(EncoderKind.AUTO, device="cuda"), FakeGpu()), TorchEncoder)
    assert warnings(caplog) == []


@pytest.mark.parametrize("kind", [EncoderKind.AUTO, EncoderKind.CTRANSLATE2])
def test_on_the_cpu_it_is_only_used_when_asked_for(
    chosen: Choosing, caplog: pytest.LogCaptureFixture, kind: EncoderKind
) -> None:
    assert isinstance(chosen(a_runtime(kind)), CTranslate2Encoder)
    assert warnings(caplog) == []


def test_a_torch_that_finds_no_gpu_is_told_of(
    chosen: Choosing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the worker would be slower than its owner thinks, and nobody knew why."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(chosen(a_runtime(device="cuda")), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert "finds no GPU" in warning
    assert "transcriber-worker[torch-encoder]" in warning


def test_states_that_were_not_waited_for_are_found_out(chosen: Choosing, caplog: pytest.LogCaptureFixture) -> None:
    """CTranslate2 does not wait for torch's stream: it would decode what lies there."""
    assert isinstance(chosen(a_runtime(), FakeGpu(settles=False)), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert "apart from CTranslate2's" in warning


@pytest.mark.parametrize("factor", [1.02, 0.0, float("nan")])
def test_an_encoder_that_hears_something_else_is_not_used(
    chosen: Choosing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    real = Norm.__call__
    monkeypatch.setattr(Norm, "__call__", lambda norm, heard: factor * real(norm, heard))
    assert isinstance(chosen(a_runtime()), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert "apart from CTranslate2's" in warning


class Disguised:
    """faster-whisper's model, but for what a subclass has it say."""

    def __init__(self, whisper: Any) -> None:
        self.model = self
        self._whisper = whisper

    def __getattr__(self, name: str) -> Any:
        whisper = self._whisper
        return getattr(whisper if hasattr(whisper, name) else whisper.model, name)


def test_every_row_counts(
    base_files: ModelFiles, whisper: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no number is larger and smaller than nothing. The model knows one language, and is asked for none."""

    class EnglishOnly(Disguised):
        is_multilingual = False

        def detect_language(self, states: Any) -> Any:
            raise AssertionError("it can't")

    real = Norm.__call__

    def norm_of_the_first(norm: Norm, heard: torch.Tensor) -> torch.Tensor:
        found = real(norm, heard)
        found[1:] = float("nan")
        return found

    chosen = Choosing(base_files, EnglishOnly(whisper))
    assert isinstance(chosen(a_runtime()), TorchEncoder)
    monkeypatch.setattr(Norm, "__call__", norm_of_the_first)
    assert isinstance(chosen(a_runtime()), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert "apart from CTranslate2's" in warning


def test_another_language_is_not_the_same_speech(
    base_files: ModelFiles, whisper: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the states be close: the decoder, asked for the language of the second encoding, says another one."""

    class Wavering(Disguised):
        """Its answer changes."""

        answers = iter(["<|en|>", "<|cy|>"])

        def detect_language(self, states: Any) -> Any:
            answer = next(self.answers)
            return [[(answer, 0.9)] for _ in range(states.shape[0])]

    assert isinstance(Choosing(base_files, Wavering(whisper))(a_runtime()), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert "<|cy|>" in warning
    assert "<|en|>" in warning


class Watched(FakeGpu):
    """Knows which of its encoders there still are when torch is asked for its memory."""

    held: int | None = None

    def trim(self) -> None:
        super().trim()
        self.held = sum(type(one) is TorchEncoder and one._device is self for one in gc.get_objects())


@pytest.mark.parametrize("at", [None, 1, 2], ids=["apart", "loading", "trying out"])
def test_an_encoder_that_is_not_used_leaves_its_memory_to_the_decoder(chosen: Choosing, at: int | None) -> None:
    def trouble(number: int) -> None:
        if number == at:  # an error that nobody keeps: it would hold on to the encoder
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    gpu = Watched(trouble, settles=at is not None)
    assert isinstance(chosen(a_runtime(), gpu), CTranslate2Encoder)
    assert gpu.log.count("trim") == 1
    assert gpu.held == 0


@pytest.mark.parametrize("at", [1, 2], ids=["loading", "trying out"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        OSError("libcudnn.so.9: cannot open shared object file"),
        AttributeError("module 'torch.backends.cudnn' has no attribute 'conv'"),
    ],
    ids=["memory", "kernel", "library", "version"],
)
def test_what_torch_lacks_at_the_start_costs_speed_and_not_the_worker(
    chosen: Choosing, caplog: pytest.LogCaptureFixture, error: Exception, at: int
) -> None:
    assert isinstance(chosen(a_runtime(), FakeGpu(raising(error, at))), CTranslate2Encoder)
    (warning,) = warnings(caplog)
    assert str(error) in warning


def test_what_ctranslate2_lacks_is_no_fault_of_torchs(
    base_files: ModelFiles, whisper: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning that torch is not used would lead astray: nothing runs without cuBLAS."""

    class Lacking:
        """faster-whisper's model, whose encoder does not run."""

        def __getattr__(self, name: str) -> Any:
            return getattr(whisper, name)

        def encode(self, features: Any) -> Any:
            raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    gpu = FakeGpu()
    with pytest.raises(RuntimeError, match=r"libcublas\.so\.12 is not found"):
        Choosing(base_files, Lacking())(a_runtime(), gpu)
    assert warnings(caplog) == []


def test_a_dead_accelerator_is_no_matter_of_the_encoder(chosen: Choosing) -> None:
    """CTranslate2 could not go on either: the process has to end."""
    dead = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(WorkerBroken, match="can't be used by this process any more"):
        chosen(a_runtime(), FakeGpu(raising(dead, 2)))
