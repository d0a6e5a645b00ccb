"""Looking at the GPU while something is measured."""

import threading
from collections.abc import Sequence

from tests.unit.tools.bench.scripted import no_gpu
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability.gpu_reading import GpuReading
from transcriber_worker.tools.bench.gpu_watch import GpuUse, GpuWatch


class Gpu:
    """Gives one reading after the other, then the last one again; says when it was looked at so often."""

    def __init__(self, readings: Sequence[GpuReading]) -> None:
        self._readings = readings
        self._looks = 0
        self.read_out = threading.Event()

    def __call__(self) -> GpuReading:
        reading = self._readings[min(self._looks, len(self._readings) - 1)]
        self._looks += 1
        if self._looks >= len(self._readings):
            self.read_out.set()
        return reading


class OnceEach(ManualClock):
    """Waits no longer than there is something to read."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._gpu = gpu

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if self._gpu.read_out.is_set():
            return event.wait(60)
        return super().wait(event, timeout_s)


def seen(readings: Sequence[GpuReading]) -> GpuUse | None:
    gpu = Gpu(readings)
    with GpuWatch(gpu, OnceEach(gpu)) as watch:
        assert gpu.read_out.wait(60)
    return watch.use


def test_the_peak_and_the_mean_are_told_with_and_without_the_edges() -> None:
    idle, busy, full = GpuReading(0.0, 100), GpuReading(0.9, 300), GpuReading(0.9, 500)
    use = seen([idle, *[busy] * 9, full, *[busy] * 9, idle])
    assert use is not None
    assert use.peak_bytes == 500
    assert use.busy is not None
    assert use.busy_within is not None
    assert use.busy < 0.9
    assert abs(use.busy_within - 0.9) < 1e-9


def test_a_gpu_that_does_not_tell_how_busy_it_is_still_has_a_peak() -> None:
    assert seen([GpuReading(None, 100), GpuReading(None, 200)]) == GpuUse(200, None, None)


def test_without_a_gpu_nothing_is_seen() -> None:
    with GpuWatch(no_gpu, ManualClock()) as watch:
        pass
    assert watch.use is None
