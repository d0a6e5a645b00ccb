"""One channel's samples on their way into windows. Runs in the child only."""

from collections import deque

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.media.protocol import MediaJob
from transcriber_worker.media.speech_spans import SampleSpan, SpeechSpans
from transcriber_worker.media.vad import Floats, Heard, SpeechDetector
from transcriber_worker.media.windows import Cut, WindowCutter


class ChannelWindows:
    """Detects speech, keeps the samples that a window may still need, cuts windows. Sample numbers count from the first
    block, which lies `origin` samples into the sped-up timeline."""

    def __init__(self, number: int | None, detector: SpeechDetector, job: MediaJob, origin: int) -> None:
        self._number = number
        self._detector = detector
        self._speed = job.speed
        self._origin = origin
        self._spans = SpeechSpans(job.thresholds)
        self._cutter = WindowCutter(job.limits, job.thresholds.silence)
        self._pcm = PcmBuffer()
        self._index = 0
        self.speech_samples = 0
        """Speech found so far, padding counted."""

    def listen(self, pcm: Pcm) -> Heard:
        """Take in samples, int16, (n,)."""
        self._pcm.append(pcm)
        return self._detector.feed(pcm)

    def listen_to_end(self) -> Heard:
        """The last chunk; no samples follow."""
        return self._detector.finish()

    def advance(self, probabilities: Floats) -> list[Window]:
        """The windows that these probabilities complete."""
        final = self._spans.feed(probabilities)
        self.speech_samples += sum(end - start for start, end in final)
        cuts = self._cutter.advance(probabilities, final, self._spans.going_on, self._spans.certain_until)
        windows = [self._window(cut) for cut in cuts]
        self._pcm.forget(self._cutter.needed_from)
        return windows

    def finish(self, probabilities: Floats) -> list[Window]:
        """The last windows; `probabilities` are the last ones."""
        final = self._spans.feed(probabilities) + self._spans.finish(self._pcm.end)
        self.speech_samples += sum(end - start for start, end in final)
        cuts = self._cutter.advance(probabilities, final, None, self._pcm.end, ended=True)
        return [self._window(cut) for cut in cuts]

    def _window(self, cut: Cut) -> Window:
        window = Window(
            index=self._index,
            channel=self._number,
            core=self._span(cut.core),
            pcm_start_s=self._time_s(cut.pcm[0]),
            pcm=self._pcm.take(*cut.pcm),
            speech=tuple(self._span(span) for span in cut.speech),
            speed=self._speed,
            pauses=tuple(self._span(span) for span in cut.pauses),
        )
        self._index += 1
        return window

    def _span(self, span: SampleSpan) -> Span:
        return Span(self._time_s(span[0]), self._time_s(span[1]))

    def _time_s(self, sample: int) -> float:
        return (self._origin + sample) / SAMPLE_RATE_HZ * self._speed


class PcmBuffer:
    """The latest samples of a channel, by their number."""

    def __init__(self) -> None:
        self._blocks: deque[Pcm] = deque()
        self._start = 0
        self.end = 0
        """Number of the sample that comes next."""

    def append(self, pcm: Pcm) -> None:
        self._blocks.append(pcm)
        self.end += len(pcm)

    def take(self, start: int, end: int) -> Pcm:
        """A copy of the samples from `start` to `end`, which must not be forgotten yet."""
        if start < self._start or end > self.end:
            raise IndexError(f"samples {start} to {end} are not in the buffer ({self._start} to {self.end})")
        parts: list[Pcm] = []
        at = self._start
        for block in self._blocks:
            parts.append(block[max(0, start - at) : max(0, end - at)])
            at += len(block)
        return np.concatenate(parts) if parts else np.empty(0, np.int16)

    def forget(self, before: int) -> None:
        """Let go of whole blocks that end at or before this sample."""
        while self._blocks and self._start + len(self._blocks[0]) <= before:
            self._start += len(self._blocks.popleft())
