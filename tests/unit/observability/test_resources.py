"""Processes by the real psutil, GPUs by a stand-in for NVML: a machine that runs tests may have none."""

# ruff: noqa: N802 - NVIDIA's names

import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from transcriber_worker.observability import logging as worker_logging
from transcriber_worker.observability import resources
from transcriber_worker.observability.declaring import declared_in
from transcriber_worker.observability.events import GPU_METRICS_UNAVAILABLE, LogEvent
from transcriber_worker.observability.metrics import SampledMetrics
from transcriber_worker.observability.resources import GpuCollector, ProcessCollector, open_nvml

MEBIBYTE = 1024 * 1024
_BUSY = """
import time
end = time.process_time() + 0.2
while time.process_time() < end: pass
print('done', flush=True)
input()
"""


class NvmlError(Exception):
    pass


class FakeNvml:
    """Two GPUs; a reading named in `broken` fails as NVML does."""

    NVMLError: type[Exception] = NvmlError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.started = False

    def nvmlInit(self) -> None:
        self._answer("init", None)
        self.started = True

    def nvmlSystemGetDriverVersion(self) -> str:
        return str(self._answer("driver", "570.86.15"))

    def nvmlDeviceGetCount(self) -> int:
        return int(self._answer("count", 2))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return int(self._answer(f"handle{index}", index))

    def nvmlDeviceGetName(self, handle: int) -> str:
        return str(self._answer("name", f"NVIDIA A{handle + 1}0"))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return self._answer("utilisation", SimpleNamespace(gpu=50 + handle, memory=3))

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return self._answer("memory", SimpleNamespace(used=(handle + 1) * MEBIBYTE, total=1024 * MEBIBYTE))

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return int(self._answer("temperature", 40 + handle + sensor))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return int(self._answer("power", 71_500 + handle))

    def _answer(self, reading: str, value: Any) -> Any:
        if reading in self.broken:
            raise NvmlError(f"{reading} is not supported")
        return value


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    emit: Callable[..., None] = worker_logging.emit

    def recording(event: LogEvent, **fields: Any) -> None:
        events.append(event)
        emit(event, **fields)

    monkeypatch.setattr(resources, "emit", recording)
    yield events


def exported_by(collector: ProcessCollector | GpuCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def test_a_gpu_is_read_in_base_units() -> None:
    registry = exported_by(GpuCollector(FakeNvml()))

    readings = {
        spec.name: registry.get_sample_value(spec.name, {"gpu": "1"})
        for spec in declared_in(SampledMetrics)
        if spec.label_names == ("gpu",)
    }

    assert readings == {
        "transcriber_gpu_utilisation_ratio": 0.51,
        "transcriber_gpu_memory_used_bytes": 2 * MEBIBYTE,
        "transcriber_gpu_memory_total_bytes": 1024 * MEBIBYTE,
        "transcriber_gpu_temperature_celsius": 41,
        "transcriber_gpu_power_watts": 71.501,
    }
    assert registry.get_sample_value("transcriber_gpu_power_watts", {"gpu": "0"}) == 71.5


@pytest.mark.parametrize(
    ("broken", "missing"),
    [("utilisation", "utilisation_ratio"), ("power", "power_watts"), ("memory", "memory_used_bytes")],
)
def test_what_a_gpu_cannot_tell_is_no_series_and_one_debug_line(
    told: list[LogEvent], broken: str, missing: str
) -> None:
    registry = exported_by(GpuCollector(FakeNvml(broken)))

    first, second = generate_latest(registry).decode(), generate_latest(registry).decode()

    for text in (first, second):
        assert missing not in text
        assert 'transcriber_gpu_temperature_celsius{gpu="0"} 40.0' in text
    assert told == [GPU_METRICS_UNAVAILABLE]
    assert GPU_METRICS_UNAVAILABLE.level == "debug"


def test_a_gpu_that_is_gone_does_not_hide_the_others() -> None:
    text = generate_latest(exported_by(GpuCollector(FakeNvml("handle0")))).decode()

    assert 'gpu="0"' not in text
    assert 'transcriber_gpu_temperature_celsius{gpu="1"} 41.0' in text


def test_a_driver_that_fails_while_scraping_leaves_no_series_and_no_error() -> None:
    assert generate_latest(exported_by(GpuCollector(FakeNvml("count")))) == b""


def test_nvml_is_started_once_it_is_there() -> None:
    nvml = FakeNvml()

    assert open_nvml(lambda: nvml) is nvml
    assert nvml.started


def test_without_a_driver_or_the_package_there_is_no_nvml_and_one_debug_line(told: list[LogEvent]) -> None:
    def not_installed() -> FakeNvml:
        raise ImportError("No module named 'pynvml'")

    assert open_nvml(lambda: FakeNvml("init")) is None
    assert open_nvml(not_installed) is None
    assert told == [GPU_METRICS_UNAVAILABLE] * 2


def test_the_real_nvml_either_opens_or_is_none() -> None:
    """Where there is a GPU, it is measured; anywhere else nothing is."""
    nvml = open_nvml()

    measured = (
        nvml is not None
        and "transcriber_gpu_memory_total_bytes{" in generate_latest(exported_by(GpuCollector(nvml))).decode()
    )

    assert measured == (nvml is not None)


class MediaChild:
    """A child process that has burnt 0.2 s of CPU."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.communicate("\n")


def test_the_cpu_time_of_media_children_survives_them() -> None:
    child = MediaChild()
    alive = [child.process.pid]
    registry = exported_by(ProcessCollector(lambda: alive))

    def media(name: str) -> float:
        value = registry.get_sample_value(f"transcriber_{name}", {"role": "media"})
        assert value is not None
        return value

    assert media("processes") == 1
    assert media("process_resident_memory_bytes") > MEBIBYTE
    while_alive = media("process_cpu_seconds_total")
    assert while_alive >= 0.2

    child.end()
    alive.clear()

    assert media("processes") == 0
    assert media("process_resident_memory_bytes") == 0
    assert media("process_cpu_seconds_total") >= while_alive


def test_a_child_that_has_just_ended_is_no_error() -> None:
    child = MediaChild()
    child.end()
    registry = exported_by(ProcessCollector(lambda: [child.process.pid]))

    assert registry.get_sample_value("transcriber_processes", {"role": "media"}) == 0


def test_the_worker_itself_is_measured() -> None:
    registry = exported_by(ProcessCollector(list))

    labels = {"role": "worker"}
    assert registry.get_sample_value("transcriber_processes", labels) == 1
    assert (registry.get_sample_value("transcriber_process_cpu_seconds_total", labels) or 0) > 0
    assert (registry.get_sample_value("transcriber_process_resident_memory_bytes", labels) or 0) > MEBIBYTE
    assert b"# TYPE transcriber_process_cpu_seconds_total counter" in generate_latest(registry)
    started = registry.get_sample_value("transcriber_process_start_time_seconds")
    assert started == pytest.approx(psutil.Process().create_time())
