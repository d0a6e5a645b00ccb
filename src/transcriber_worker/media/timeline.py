"""Placed frames into one unbroken row of 16 kHz samples. Runs in the child only."""

from collections.abc import Iterator

import numpy as np
from av.audio.frame import AudioFrame

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span
from transcriber_worker.media.resample import Resampler

_ZEROS_SAMPLES = 30 * SAMPLE_RATE_HZ


class Timeline:
    """Resamples seamless runs of frames; between them it fills in silence or drops what overlaps, to the sample."""

    def __init__(self, layout: str, channels: int, clip: Span, speed: float) -> None:
        """`layout`, `channels`: of what comes out; `clip`: the stretch of the file that is kept (its end may be
        inf)."""
        self._layout = layout
        self._channels = channels
        self._speed = speed
        self._end = round(clip.end_s / speed * SAMPLE_RATE_HZ) if clip.end_s < 1e9 else None
        self._written = first_sample(clip, speed)
        self._overlap = 0
        """Samples of the run that are written already, or lie before the clip."""
        self._run: Resampler | None = None

    def add(self, frame: AudioFrame, start_s: float, *, continues: bool) -> Iterator[Pcm]:
        """Blocks, int16, (channels, n), that became ready with `frame`, which begins at `start_s` of the file's
        time."""
        run = self._run
        if run is None or not continues or not run.takes(frame):
            yield from self.finish()
            start = round(start_s / self._speed * SAMPLE_RATE_HZ)
            yield from self._silence_until(start)
            self._overlap = max(0, self._written - start)
            run = self._run = Resampler(frame, self._layout, self._speed)
        ready = run.push(frame)
        if ready is not None:
            yield from self._emit(ready)

    def finish(self) -> Iterator[Pcm]:
        """The rest of the run."""
        if self._run is not None:
            rest = self._run.finish()
            self._run = None
            yield from self._emit(rest)

    def _silence_until(self, sample: int) -> Iterator[Pcm]:
        if self._end is not None:
            sample = min(sample, self._end)
        while self._written < sample:
            length = min(_ZEROS_SAMPLES, sample - self._written)
            self._written += length
            yield np.zeros((self._channels, length), np.int16)

    def _emit(self, pcm: Pcm) -> Iterator[Pcm]:
        skip = min(self._overlap, pcm.shape[1])
        self._overlap -= skip
        room = pcm.shape[1] if self._end is None else max(0, self._end - self._written)
        pcm = pcm[:, skip : skip + room]
        if pcm.shape[1]:
            self._written += pcm.shape[1]
            yield pcm


def first_sample(clip: Span, speed: float) -> int:
    """Where the samples of a clip begin, in samples of the sped-up file."""
    return round(clip.start_s / speed * SAMPLE_RATE_HZ)
