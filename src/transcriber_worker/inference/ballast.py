"""Memory of a GPU, taken away from whoever else is there. Only `bench-gpu` imports this."""

from typing import Any

import ctranslate2
import numpy as np

from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory, judged

_LARGE_BYTES = 1 << 30
_SMALL_BYTES = 1 << 25


def take_gpu_memory(leave_bytes: int) -> list[Any]:
    """Take all of what is free but about `leave_bytes`, which is 1 GiB at most; it is taken as long as the list holds
    it. Raises what CUDA raises."""
    taken = _pieces(_LARGE_BYTES)
    del taken[-1:]
    small = _pieces(_SMALL_BYTES)
    del small[: leave_bytes // _SMALL_BYTES]
    return taken + small


def _pieces(size_bytes: int) -> list[Any]:
    """As many as there is room for."""
    nothing = ctranslate2.StorageView.from_array(np.zeros(size_bytes, np.int8))
    taken: list[Any] = []
    while True:
        try:
            taken.append(nothing.to_device(ctranslate2.Device.cuda))
        except RuntimeError as error:
            if isinstance(judged(error), AcceleratorOutOfMemory):
                return taken
            raise
