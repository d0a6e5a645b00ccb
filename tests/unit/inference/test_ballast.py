"""Memory of a GPU that is taken away, from a device that has only so much."""

from typing import Any

import pytest

from transcriber_worker.inference import ballast

MIB = 1 << 20
FULL = "CUDA failed with error out of memory"


class Gpu:
    """Stands in for `StorageView`: what is moved to it takes memory until it is let go of."""

    def __init__(self, free_bytes: int, trouble: str = FULL) -> None:
        self.free_bytes = free_bytes
        self._trouble = trouble

    def from_array(self, array: Any) -> "Source":
        return Source(self, array.nbytes)

    def allocate(self, size_bytes: int) -> None:
        if size_bytes > self.free_bytes:
            raise RuntimeError(self._trouble)
        self.free_bytes -= size_bytes


class Source:
    """In the memory of the CPU."""

    def __init__(self, gpu: Gpu, size_bytes: int) -> None:
        self._gpu = gpu
        self._size_bytes = size_bytes

    def to_device(self, _: Any) -> "Taken":
        self._gpu.allocate(self._size_bytes)
        return Taken(self._gpu, self._size_bytes)


class Taken:
    """On the GPU."""

    def __init__(self, gpu: Gpu, size_bytes: int) -> None:
        self._gpu = gpu
        self._size_bytes = size_bytes

    def __del__(self) -> None:
        self._gpu.free_bytes += self._size_bytes


def a_gpu(monkeypatch: pytest.MonkeyPatch, free_bytes: int, trouble: str = FULL) -> Gpu:
    gpu = Gpu(free_bytes, trouble)
    monkeypatch.setattr("transcriber_worker.inference.ballast.ctranslate2.StorageView", gpu)
    return gpu


@pytest.mark.parametrize("free_mib", [700, 1500, 23_000, 140_001])
def test_about_as_much_is_left_as_was_wanted(monkeypatch: pytest.MonkeyPatch, free_mib: int) -> None:
    gpu = a_gpu(monkeypatch, free_mib * MIB)
    taken = ballast.take_gpu_memory(256 * MIB)
    assert 256 * MIB <= gpu.free_bytes < 300 * MIB
    taken.clear()
    assert gpu.free_bytes == free_mib * MIB


def test_another_trouble_than_full_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, 0, "CUDA failed with error no CUDA-capable device is detected")
    with pytest.raises(RuntimeError, match="no CUDA-capable device"):
        ballast.take_gpu_memory(MIB)
