"""What CUDA's driver says of its memory. A driver is built here: it is called as a real one is, in C."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest

from transcriber_worker.inference.cuda_memory import DRIVER, cuda_memory_bytes
from transcriber_worker.tools.limits import Machine

SLICE_BYTES = 9_970_909_184
"""More than 32 bits hold."""
NO_DEVICE = 100
INVALID_DEVICE = 101
_C = Template("""
#include <stddef.h>
static int ready = 0;
int cuInit(unsigned int flags) { ready = !flags && !$init; return $init; }
int cuDeviceGet(int *device, int ordinal) {
    if (!ready) return 3;
    if (ordinal >= $devices) return 101;
    *device = 7;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    if (!ready) return 3;
    if (device != 7) return 101;
    *bytes = $bytes;
    return $total;
}
""")


@dataclass(frozen=True, slots=True)
class Driver:
    """One that shows GPUs of this memory; its calls return these errors."""

    devices: int = 1
    init: int = 0
    total: int = 0

    def built(self, folder: Path) -> Callable[[str], Any]:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler is installed: there is nothing to build a driver with")
        library = folder / DRIVER
        source = _C.substitute(devices=self.devices, init=self.init, total=self.total, bytes=SLICE_BYTES)
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        subprocess.run(command, input=source, text=True, check=True)
        return lambda name: ctypes.CDLL(str(folder / name))


def test_it_is_that_of_the_first_gpu_that_cuda_shows(tmp_path: Path) -> None:
    assert cuda_memory_bytes(Driver(devices=2).built(tmp_path)) == SLICE_BYTES


@pytest.mark.parametrize(
    "driver",
    [Driver(init=NO_DEVICE), Driver(devices=0), Driver(total=INVALID_DEVICE)],
    ids=["no GPU", "none is shown", "it does not tell"],
)
def test_what_cuda_does_not_tell_is_not_known(tmp_path: Path, driver: Driver) -> None:
    assert cuda_memory_bytes(driver.built(tmp_path)) is None


def test_without_a_driver_there_is_none() -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert cuda_memory_bytes(missing) is None


def test_a_library_that_is_no_driver_tells_nothing() -> None:
    assert cuda_memory_bytes(lambda name: ctypes.CDLL(None)) is None


def test_a_machine_has_the_memory_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where there is a GPU at all: elsewhere no driver is looked for."""
    monkeypatch.setattr("transcriber_worker.tools.limits.cuda_memory_bytes", lambda: SLICE_BYTES)
    monkeypatch.setattr("transcriber_worker.tools.limits._GPU_NODES", ("/dev/null",))
    assert Machine.this().gpu_bytes == SLICE_BYTES
    monkeypatch.setattr("transcriber_worker.tools.limits._GPU_NODES", ())
    assert Machine.this().gpu_bytes is None
