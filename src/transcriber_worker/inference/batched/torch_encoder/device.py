"""Where torch computes, and how what it computed reaches CTranslate2. Imports torch."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import ctranslate2
import torch

from transcriber_worker.inference.loading import Runtime

_cuda: Any = torch.cuda  # not all of it is typed
_cudnn: Any = torch.backends.cudnn


class Device(Protocol):
    """Thread-safe."""

    @property
    def place(self) -> torch.device:
        """Where tensors live."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """For one thread at a time: what torch is asked for inside is put in line, in order."""
        ...

    def settle(self) -> None:
        """Within a turn: wait until all that was asked for is computed. CTranslate2 knows nothing of torch's streams,
        so whatever it is given must be settled."""
        ...

    def picked(self, states: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """A settled copy of some rows of settled states, without a turn."""
        ...

    def hand_over(self, states: torch.Tensor) -> Any:
        """Settled states as CTranslate2's `StorageView`, which keeps them alive: nothing is copied."""
        ...

    def trim(self) -> None:
        """Give memory back that torch only keeps for later."""
        ...


class CpuDevice:
    """Computes at once, wherever it is asked to."""

    place = torch.device("cpu")

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._lock, torch.inference_mode():
            yield

    def settle(self) -> None:
        """Nothing is ever pending."""

    def picked(self, states: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return states[list(rows)]

    def hand_over(self, states: torch.Tensor) -> Any:
        return ctranslate2.StorageView.from_array(states.numpy())

    def trim(self) -> None:
        """The allocator keeps nothing worth mentioning."""


class CudaDevice:
    """The first GPU that this process sees, which is the one that CTranslate2 takes.

    Streams of torch's pool are non-blocking. Its default stream is CUDA's own, at which the blocking streams of all of
    CTranslate2's workers would wait for each other.

    What torch frees it gives to the next one who asks on the same stream, without regard to who else may still read it.
    Nobody does: states are let go of only after `picked` has waited for its stream, and after CTranslate2's calls have
    returned, each of which first makes a copy of its own and waits for that.
    """

    place = torch.device("cuda", 0)

    def __init__(self, memory_bytes: int | None) -> None:
        """`memory_bytes`: most that torch may allocate; None: as much as there is."""
        if memory_bytes is not None:
            total = _cuda.get_device_properties(self.place).total_memory
            _cuda.set_per_process_memory_fraction(min(1.0, memory_bytes / total), self.place)
        _exact_convolutions()
        self._lock = threading.Lock()
        self._stream = _cuda.Stream(self.place)
        self._picks = _cuda.Stream(self.place)
        """A few rows are not to wait for the batch that is being encoded."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._lock, torch.inference_mode(), _cuda.stream(self._stream):
            yield

    def settle(self) -> None:
        self._stream.synchronize()

    def picked(self, states: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode(), _cuda.stream(self._picks):
            picked = states[list(rows)]
            self._picks.synchronize()
        return picked

    def hand_over(self, states: torch.Tensor) -> Any:
        return ctranslate2.StorageView.from_array(states)

    def trim(self) -> None:
        _cuda.empty_cache()


def _exact_convolutions() -> None:
    """Those of float32 would be made of fewer digits than the model was trained with."""
    if hasattr(_cudnn, "conv"):
        _cudnn.conv.fp32_precision = "ieee"
    else:  # torch before 2.9
        _cudnn.allow_tf32 = False


def device_for(runtime: Runtime) -> Device:
    """Where a model is to be run. Raises `RuntimeError` where torch finds no GPU."""
    if runtime.device == "cpu":
        # Of all workers together: it encodes one batch at a time for all of them.
        return CpuDevice(runtime.workers * runtime.cpu_threads)
    if not _cuda.is_available():
        raise RuntimeError(
            f"torch {torch.__version__} finds no GPU: it is built for CUDA {torch.version.cuda}; install the version "
            "that transcriber-worker[torch-encoder] names, and a driver that fits"
        )
    return CudaDevice(runtime.torch_bytes)
