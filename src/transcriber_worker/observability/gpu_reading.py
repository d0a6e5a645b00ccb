"""What a GPU does at a moment, as NVML tells it."""

from collections.abc import Callable
from dataclasses import dataclass

from transcriber_worker.observability.resources import Nvml, open_nvml


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Of the first GPU."""

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
