"""Looks at the GPU while something is measured."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from transcriber_worker.domain.clock import Clock
from transcriber_worker.observability.gpu_reading import GpuReading

ReadGpu = Callable[[], GpuReading | None]
_LOOK_S = 0.1
_EDGE = 0.1
"""At the beginning nothing has reached the GPU yet, at the end the last texts are put together: so much of the time is
left out on both sides where a backlog is looked at."""


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What was seen of it."""

    peak_bytes: int
    """Most memory in use, by whomever."""
    busy: float | None
    """Share of the time in which it computed anything; None where that can't be told."""
    busy_within: float | None
    """The same without the beginning and the end."""


class GpuWatch:
    """Looks ten times a second, from a thread of its own."""

    def __init__(self, read: ReadGpu, clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._over = threading.Event()
        self._seen: list[tuple[float, GpuReading]] = []
        self._thread = threading.Thread(target=self._watch, name="gpu-watch", daemon=True)

    def __enter__(self) -> "GpuWatch":
        if self._look():
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._look()

    @property
    def use(self) -> GpuUse | None:
        """What was seen until now; None without a GPU."""
        if not self._seen:
            return None
        begun, ended = self._seen[0][0], self._seen[-1][0]
        edge_s = _EDGE * (ended - begun)
        within = [reading for at, reading in self._seen if begun + edge_s <= at <= ended - edge_s]
        return GpuUse(
            peak_bytes=max(reading.used_bytes for _, reading in self._seen),
            busy=_mean_busy([reading for _, reading in self._seen]),
            busy_within=_mean_busy(within),
        )

    def _watch(self) -> None:
        while not self._clock.wait(self._over, _LOOK_S):
            self._look()

    def _look(self) -> bool:
        reading = self._read()
        if reading is not None:
            self._seen.append((self._clock.monotonic(), reading))
        return reading is not None


def _mean_busy(readings: list[GpuReading]) -> float | None:
    shares = [reading.busy for reading in readings if reading.busy is not None]
    return sum(shares) / len(shares) if shares else None
