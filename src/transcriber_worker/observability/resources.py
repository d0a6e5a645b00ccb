"""Metrics read from the machine when they are scraped: processes by psutil, GPUs by NVML."""

# ruff: noqa: N802 - NVIDIA's names

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from transcriber_worker.observability import events
from transcriber_worker.observability.declaring import MetricSpec
from transcriber_worker.observability.labels import ProcessRole
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import SampledMetrics

T = TypeVar("T")


class ProcessCollector(Collector):
    """CPU and memory of the worker and of its media children; never raises."""

    def __init__(self, child_pids: Callable[[], Iterable[int]], worker: psutil.Process | None = None) -> None:
        """`child_pids` names the media children alive; `worker` is this process unless told otherwise."""
        self._child_pids = child_pids
        self._worker = worker or psutil.Process()
        self._media_cpu_s = 0.0

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        processes = _family(SampledMetrics.PROCESSES)
        cpu = _family(SampledMetrics.CPU_SECONDS)
        memory = _family(SampledMetrics.RESIDENT_BYTES)
        children = [usage for pid in self._child_pids() if (usage := _usage_of(pid)) is not None]
        own = self._worker.cpu_times()
        # What ended children used is on the parent's account once they are reaped. Between the two readings a child
        # may pass from one account to the other, and a counter must not fall.
        ended_s = float(own.children_user + own.children_system)
        self._media_cpu_s = max(self._media_cpu_s, ended_s + sum(cpu_s for cpu_s, _ in children))
        rows = (
            (ProcessRole.WORKER, 1, own.user + own.system, self._worker.memory_info().rss),
            (ProcessRole.MEDIA, len(children), self._media_cpu_s, sum(rss_bytes for _, rss_bytes in children)),
        )
        for role, count, cpu_s, rss_bytes in rows:
            processes.add_metric([role], count)
            cpu.add_metric([role], cpu_s)
            memory.add_metric([role], rss_bytes)
        started = _family(SampledMetrics.START_TIME)
        started.add_metric([], self._worker.create_time())
        yield from (processes, cpu, memory, started)


class Nvml(Protocol):
    """The part of the `pynvml` module that is used."""

    NVMLError: type[Exception]
    NVML_TEMPERATURE_GPU: int

    def nvmlInit(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str: ...

    def nvmlDeviceGetCount(self) -> int: ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...

    def nvmlDeviceGetName(self, handle: Any) -> str: ...

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int) -> int: ...

    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int: ...


class GpuCollector(Collector):
    """What NVML says of each GPU; what it can't say is no series (MIG slices know no utilisation). Never raises."""

    def __init__(self, nvml: Nvml) -> None:
        """`nvml` is initialised already, as `open_nvml` leaves it."""
        self._nvml = nvml
        self._reported = False

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for spec, read in self._readings():
            family = _family(spec)
            for index in range(self._read(self._nvml.nvmlDeviceGetCount) or 0):
                value = self._read(partial(self._of_device, read, index))
                if value is not None:
                    family.add_metric([str(index)], value)
            if family.samples:
                yield family

    def _readings(self) -> tuple[tuple[MetricSpec, Callable[[Any], float]], ...]:
        nvml = self._nvml
        return (
            (SampledMetrics.GPU_UTILISATION, lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
            (SampledMetrics.GPU_MEMORY_USED, lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used),
            (SampledMetrics.GPU_MEMORY_TOTAL, lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total),
            (
                SampledMetrics.GPU_TEMPERATURE,
                lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
            ),
            (SampledMetrics.GPU_POWER, lambda gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
        )

    def _of_device(self, read: Callable[[Any], float], index: int) -> float:
        return read(self._nvml.nvmlDeviceGetHandleByIndex(index))

    def _read(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except self._nvml.NVMLError as error:
            if not self._reported:
                self._reported = True
                emit(events.GPU_METRICS_UNAVAILABLE, error=type(error).__name__, message=str(error))
            return None


def open_nvml(load: Callable[[], Nvml] | None = None) -> Nvml | None:
    """NVML, initialised; None where there is no GPU or driver, with one debug line. `load` gives the module."""
    try:
        nvml: Nvml = load() if load is not None else importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception as error:
        emit(events.GPU_METRICS_UNAVAILABLE, error=type(error).__name__, message=str(error))
        return None
    return nvml


def _family(spec: MetricSpec) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return kind(spec.name, spec.help, labels=spec.label_names)


def _usage_of(pid: int) -> tuple[float, int] | None:
    """CPU seconds and resident bytes of a process, or None where it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss
    except psutil.Error:
        return None
