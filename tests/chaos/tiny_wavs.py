"""A `MediaReader` that reads tiny WAV files within the worker and leaves everything else to the real one: a media child
costs a third of a second of CPU, which thousands of jobs can't have."""

import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, MediaInfo, MediaReport, Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.media.base import MediaRequest, MediaStream
from transcriber_worker.media.pool import MediaPool

TINY_BYTES = 70_000
"""Two seconds of 16 kHz mono."""


class TinyWavs:
    """`others` makes the real reader when the first file asks for it."""

    def __init__(self, others: Callable[[], MediaPool]) -> None:
        self._make_others = others
        self._others: MediaPool | None = None

    def open(self, request: MediaRequest) -> MediaStream:
        if request.path.stat().st_size <= TINY_BYTES and request.path.read_bytes()[:4] == b"RIFF":
            return _TinyStream.of(request)
        if self._others is None:
            self._others = self._make_others()
        return self._others.open(request)

    def close(self) -> None:
        if self._others is not None:
            self._others.close()

    def child_pids(self) -> tuple[int, ...]:
        return self._others.child_pids() if self._others is not None else ()


@dataclass(frozen=True, slots=True)
class _TinyStream:
    """One window, speech from end to end."""

    samples: "np.typing.NDArray[np.int16]"
    cancel: CancelToken

    @classmethod
    def of(cls, request: MediaRequest) -> "_TinyStream":
        return cls(read_wav(request.path), request.cancel)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    @property
    def info(self) -> MediaInfo:
        return MediaInfo("wav", "pcm_s16le", 1, SAMPLE_RATE_HZ, self.duration_s)

    def windows(self) -> Iterator[Window]:
        self.cancel.raise_if_cancelled()
        core = Span(0.0, self.duration_s)
        yield Window(0, None, core, 0.0, self.samples, (core,))

    @property
    def report(self) -> MediaReport:
        return MediaReport(self.duration_s, self.duration_s, self.duration_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


def read_wav(path: Path) -> "np.typing.NDArray[np.int16]":
    """int16, (n,), mono 16 kHz."""
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)
