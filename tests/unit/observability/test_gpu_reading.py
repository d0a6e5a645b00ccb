"""The GPU at a moment, and what it is called."""

import importlib

import pytest

from tests.unit.observability.test_resources import MEBIBYTE, FakeNvml
from transcriber_worker.observability.gpu_reading import GpuReading, gpu_driver, gpu_names, gpu_reader


def missing() -> FakeNvml:
    importlib.import_module("there_is_no_nvml")
    return FakeNvml()


def test_the_first_gpu_is_read() -> None:
    assert gpu_reader(FakeNvml)() == GpuReading(busy=0.5, used_bytes=MEBIBYTE)


def test_a_slice_of_a_gpu_tells_its_memory_only() -> None:
    assert gpu_reader(lambda: FakeNvml("utilisation"))() == GpuReading(busy=None, used_bytes=MEBIBYTE)


@pytest.mark.parametrize("broken", ["init", "handle0", "memory"])
def test_one_that_tells_nothing_is_none(broken: str) -> None:
    assert gpu_reader(lambda: FakeNvml(broken))() is None


def test_a_machine_without_one_has_none() -> None:
    assert gpu_reader(missing)() is None


def test_gpus_and_their_driver_are_named() -> None:
    assert gpu_names(FakeNvml) == ("NVIDIA A10", "NVIDIA A20")
    assert gpu_driver(FakeNvml) == "570.86.15"


def test_what_nvml_cannot_name_has_no_name() -> None:
    assert gpu_names(lambda: FakeNvml("name")) == ()
    assert gpu_driver(lambda: FakeNvml("driver")) is None
    assert (gpu_names(missing), gpu_driver(missing)) == ((), None)
