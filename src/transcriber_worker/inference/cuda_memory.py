"""The memory of the GPU that models run on, as CUDA's driver tells it."""

import ctypes
from collections.abc import Callable
from typing import Any

DRIVER = "libcuda.so.1"


def cuda_memory_bytes(load: Callable[[str], Any] = ctypes.CDLL) -> int | None:
    """Of the first GPU that CUDA shows to this process, which CTranslate2 and torch take. None where it shows none.

    NVML would not do: it counts the machine's GPUs in an order of its own, whatever CUDA_VISIBLE_DEVICES says, and of a
    GPU in slices (MIG) it knows the whole. No context is made, so nothing of the memory is taken. `load`: how to load a
    library.
    """
    device, total = ctypes.c_int(), ctypes.c_size_t()
    try:
        driver = load(DRIVER)
        # Each returns what went wrong, or 0.
        failed = (
            driver.cuInit(ctypes.c_uint(0))
            or driver.cuDeviceGet(ctypes.byref(device), ctypes.c_int(0))
            or driver.cuDeviceTotalMem_v2(ctypes.byref(total), device)
        )
    except (OSError, AttributeError):  # no driver, or one of long ago
        return None
    return None if failed else total.value
