"""What GPUs there are, and what the first one does at a moment, as NVML tells it."""

from collections.abc import Callable
from dataclasses import dataclass

from transcriber_worker.observability.resources import Nvml, open_nvml


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Of the machine's first GPU by NVML's order, whatever CUDA_VISIBLE_DEVICES says."""

    busy: float | None
    """Share of the last moments, up to a second, in which anything was computed; None where NVML can't tell."""
    used_bytes: int
    """Memory in use, by whomever."""


def gpu_reader(load: Callable[[], Nvml] | None = None) -> Callable[[], GpuReading | None]:
    """Reads the GPU; None where there is none. `load` gives NVML."""
    nvml = open_nvml(load)

    def read() -> GpuReading | None:
        if nvml is None:
            return None
        try:
            gpu = nvml.nvmlDeviceGetHandleByIndex(0)
            used_bytes = int(nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        except nvml.NVMLError:
            return None
        try:
            return GpuReading(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100, used_bytes)
        except nvml.NVMLError:  # a MIG slice
            return GpuReading(None, used_bytes)

    return read


def gpu_names(load: Callable[[], Nvml] | None = None) -> tuple[str, ...]:
    """What the GPUs of this machine are called."""
    nvml = open_nvml(load)
    if nvml is None:
        return ()
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return tuple(nvml.nvmlDeviceGetName(handle) for handle in handles)
    except nvml.NVMLError:
        return ()


def gpu_driver(load: Callable[[], Nvml] | None = None) -> str | None:
    """The version of NVIDIA's driver, where there is one."""
    nvml = open_nvml(load)
    if nvml is None:
        return None
    try:
        return nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError:
        return None
