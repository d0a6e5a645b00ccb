"""What torch is asked for on a GPU, where CUDA is written down and not run, and on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from transcriber_worker.inference.batched.torch_encoder import device as module
from transcriber_worker.inference.batched.torch_encoder.device import CudaDevice, device_for
from transcriber_worker.inference.loading import Runtime

PLACE = torch.device("cuda", 0)
GB = 10**9


class FakeStream:
    def __init__(self, log: list[str], number: int) -> None:
        self._log = log
        self._number = number

    def __str__(self) -> str:
        return f"stream {self._number}"

    def synchronize(self) -> None:
        self._log.append(f"wait for {self}")


class RecordingCuda:
    """`torch.cuda`, of a GPU that only writes down what it is asked for."""

    def __init__(self, *, total_bytes: int = 24 * GB) -> None:
        self.log: list[str] = []
        self.current: FakeStream | None = None
        """None: CUDA's own, at which all of CTranslate2's workers would wait."""
        self._total_bytes = total_bytes
        self._streams = 0

    def is_available(self) -> bool:
        return True

    def get_device_properties(self, place: torch.device) -> Any:
        assert place == PLACE
        return SimpleNamespace(total_memory=self._total_bytes)

    def set_per_process_memory_fraction(self, fraction: float, place: torch.device) -> None:
        assert place == PLACE
        self.log.append(f"at most {fraction:g}")

    def Stream(self, place: torch.device) -> FakeStream:  # noqa: N802 - torch's name
        assert place == PLACE
        self._streams += 1
        return FakeStream(self.log, self._streams)

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def empty_cache(self) -> None:
        self.log.append("empty the cache")

    def asked(self, what: str) -> None:
        self.log.append(f"{what} on {self.current or 'the stream of all'}")


class States:
    """What is computed on the GPU's current stream."""

    def __init__(self, cuda: RecordingCuda) -> None:
        self._cuda = cuda

    def __getitem__(self, rows: list[int]) -> list[int]:
        assert torch.is_inference_mode_enabled()
        self._cuda.asked(f"rows {rows}")
        return rows


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> RecordingCuda:
    recording = RecordingCuda()
    monkeypatch.setattr(module, "_cuda", recording)
    monkeypatch.setattr(module, "_cudnn", SimpleNamespace(conv=SimpleNamespace(fp32_precision="none")))
    return recording


def test_a_turn_is_on_a_stream_of_its_own_and_is_waited_for_there(cuda: RecordingCuda) -> None:
    device = CudaDevice(None)
    with device.turn():
        assert torch.is_inference_mode_enabled()
        cuda.asked("features")
        device.settle()
    cuda.asked("the rest")
    assert cuda.log == ["features on stream 1", "wait for stream 1", "the rest on the stream of all"]


def test_a_turn_that_fails_leaves_the_next_one_its_place(cuda: RecordingCuda) -> None:
    device = CudaDevice(None)
    with pytest.raises(RuntimeError, match="out of memory"), device.turn():
        raise RuntimeError("CUDA out of memory")
    assert cuda.current is None
    with device.turn():
        cuda.asked("states")
    assert cuda.log == ["states on stream 1"]


def test_rows_are_picked_beside_a_turn_and_waited_for(cuda: RecordingCuda) -> None:
    """Neither in line behind the batch that is being encoded, nor with a place that it has taken."""
    device = CudaDevice(None)
    states: Any = States(cuda)
    with device.turn():
        assert device.picked(states, (2, 0)) == [2, 0]
    assert cuda.log == ["rows [2, 0] on stream 2", "wait for stream 2"]


@pytest.mark.parametrize(("memory_bytes", "fraction"), [(6 * GB, "0.25"), (30 * GB, "1")])
def test_torch_takes_no_more_than_its_share(cuda: RecordingCuda, memory_bytes: int, fraction: str) -> None:
    runtime = Runtime("cuda", "float16", beam_size=5, workers=2, cpu_threads=1, torch_bytes=memory_bytes)
    assert isinstance(device_for(runtime), CudaDevice)
    assert cuda.log == [f"at most {fraction}"]


def test_what_torch_keeps_for_later_is_given_back(cuda: RecordingCuda) -> None:
    CudaDevice(None).trim()
    assert cuda.log == ["empty the cache"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"conv": SimpleNamespace(fp32_precision="none")}, {"conv": SimpleNamespace(fp32_precision="ieee")}),
        ({"allow_tf32": True}, {"allow_tf32": False}),
    ],
    ids=["now", "before 2.9"],
)
def test_convolutions_of_float32_are_exact_on_any_torch(
    cuda: RecordingCuda, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], after: dict[str, Any]
) -> None:
    known = SimpleNamespace(**before)
    monkeypatch.setattr(module, "_cudnn", known)
    CudaDevice(None)
    assert vars(known) == after


def test_on_the_cpu_torch_has_the_threads_of_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It encodes one batch at a time: with one worker's share most cores would wait."""
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    device_for(Runtime("cpu", "int8", beam_size=5, workers=3, cpu_threads=2))
    assert threads == [6]
