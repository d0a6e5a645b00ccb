"""Cuts a channel's timeline into windows of speech. Pure: sample numbers in, sample numbers out."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from transcriber_worker.media.speech_spans import CHUNK_SAMPLES, SampleSpan

SAMPLE_RATE_HZ = 16_000
CONTEXT_SAMPLES = SAMPLE_RATE_HZ
"""Kept on both sides of a cut through speech, so that a word on it is whole in one of the windows."""
MIN_PAUSE_CHUNKS = 4
"""About 0.1 s: shorter dips of the probability occur within words."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One window, in samples of the channel: its `core`, what to carry of the audio, and the speech therein."""

    core: SampleSpan
    pcm: SampleSpan
    speech: tuple[SampleSpan, ...]


class WindowCutter:
    """Makes windows of at most `max_samples`, cut at the longest pause in the last stretch before that bound.

    Cores partition the timeline. A window's audio runs from its first speech to its last, so silence outside is not
    carried; a window without speech is not made.
    """

    def __init__(self, max_samples: int, silence: float) -> None:
        """`silence`: speech probabilities below it count as a pause."""
        self._max = max_samples
        self._search = max(10 * SAMPLE_RATE_HZ, max_samples // 5)
        if self._search + 2 * CONTEXT_SAMPLES >= max_samples:
            self._search = max(CHUNK_SAMPLES * MIN_PAUSE_CHUNKS, max_samples // 2 - 2 * CONTEXT_SAMPLES)
        self._silence = silence
        self._core_start = 0
        self._from = 0
        """Where the next window's audio may begin: at its core, or earlier by the context of a cut through speech."""
        self._spans: deque[SampleSpan] = deque()
        self._probabilities: deque[float] = deque()
        self._first_chunk = 0

    @property
    def needed_from(self) -> int:
        """Audio before this sample is not needed again."""
        return max(self._from, self._spans[0][0]) if self._spans else self._from

    def advance(
        self,
        probabilities: Iterable[float],
        spans: Iterable[SampleSpan],
        going_on: SampleSpan | None,
        certain_until: int,
        *,
        ended: bool = False,
    ) -> list[Cut]:
        """Take in new probabilities and final spans, `going_on` speech, and how far all that is certain (with `ended`:
        the end of the channel); return the windows that can be made."""
        self._probabilities.extend(float(probability) for probability in probabilities)
        self._spans.extend(spans)
        cuts: list[Cut] = []
        while True:
            speech = [*self._spans, going_on] if going_on is not None else list(self._spans)
            speech = [span for span in speech if span[1] > self._from]
            if not speech:
                self._from = max(self._from, certain_until)
                break
            cut = self._next(speech, certain_until, ended=ended)
            if cut is None:
                break
            cuts.append(cut)
        self._forget()
        return cuts

    def _next(self, speech: list[SampleSpan], certain_until: int, *, ended: bool) -> Cut | None:
        start = max(self._from, speech[0][0])
        bound = start + self._max
        if certain_until <= bound:
            return self._cut(start, certain_until, certain_until, speech) if ended else None
        if not any(low < bound < high for low, high in speech):
            # Silence where the bound falls: all the speech before it fits, and no pause within speech is longer.
            spoken = max(high for _, high in speech if high <= bound)
            middle = (spoken + bound) // 2
            return self._cut(start, middle, middle, speech)
        pause = self._longest_pause(bound - self._search, bound)
        if pause is not None:
            return self._cut(start, pause, pause, speech)
        at = self._least_speech(bound - self._search, bound - CONTEXT_SAMPLES)
        return self._cut(start, at, at + CONTEXT_SAMPLES, speech)

    def _cut(self, start: int, core_end: int, reach: int, speech: list[SampleSpan]) -> Cut:
        """`reach`: how far the audio goes; beyond the core's end where the cut goes through speech."""
        inside = [(max(low, start), min(high, reach)) for low, high in speech if low < reach and high > start]
        cut = Cut(core=(self._core_start, core_end), pcm=(start, inside[-1][1]), speech=tuple(inside))
        self._core_start = core_end
        self._from = core_end if reach == core_end else core_end - CONTEXT_SAMPLES
        return cut

    def _longest_pause(self, low: int, high: int) -> int | None:
        """Middle of the longest pause within these samples (the latest of equals), on a chunk's border; None without
        any."""
        best_length, best_middle, length = 0, 0, 0
        for chunk in range(-(-low // CHUNK_SAMPLES), high // CHUNK_SAMPLES):
            length = length + 1 if self._probability(chunk) < self._silence else 0
            if length >= max(best_length, MIN_PAUSE_CHUNKS):
                best_length, best_middle = length, (chunk + 1) * CHUNK_SAMPLES - length * CHUNK_SAMPLES // 2
        return best_middle if best_length else None

    def _least_speech(self, low: int, high: int) -> int:
        """Middle of the chunk that is least likely speech."""
        chunks = range(-(-low // CHUNK_SAMPLES), high // CHUNK_SAMPLES)
        return min(chunks, key=self._probability) * CHUNK_SAMPLES + CHUNK_SAMPLES // 2

    def _probability(self, chunk: int) -> float:
        index = chunk - self._first_chunk
        return self._probabilities[index] if 0 <= index < len(self._probabilities) else 0.0

    def _forget(self) -> None:
        while self._spans and self._spans[0][1] <= self._from:
            self._spans.popleft()
        while self._probabilities and (self._first_chunk + 1) * CHUNK_SAMPLES <= self._from:
            self._probabilities.popleft()
            self._first_chunk += 1
