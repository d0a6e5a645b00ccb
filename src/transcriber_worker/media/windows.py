"""Cuts a channel's timeline into windows of speech. Pure: sample numbers in, sample numbers out."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.speech_spans import CHUNK_SAMPLES, SampleSpan

SAMPLE_RATE_HZ = 16_000
CONTEXT_SAMPLES = SAMPLE_RATE_HZ
"""Kept on both sides of a cut through speech, so that a word on it is whole in one of the windows."""
MIN_PAUSE_CHUNKS = 4
"""About 0.1 s: shorter dips of the probability occur within words."""
_PACKED_STEPS_S = (3.0, 6.0)
_PACKED_PAUSE_CHUNKS = 10
"""About 0.3 s: few pauses within sentences are as long."""
_PACKED_THROUGH_S = 5.0


@dataclass(frozen=True, slots=True)
class Cut:
    """One window, in samples of the channel: its `core`, what to carry of the audio, and the speech and pauses
    therein."""

    core: SampleSpan
    pcm: SampleSpan
    speech: tuple[SampleSpan, ...]
    pauses: tuple[SampleSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class CutRule:
    """Where a window may end, in samples before the latest place possible."""

    max_speech: int
    max_span: int
    pauses: tuple[tuple[int, int], ...]
    """Where to look for the longest pause, the first success counts: how far back, and how many chunks it must last."""
    through: int
    """How far back to look for the least speech where there is no pause."""

    @classmethod
    def of(cls, limits: WindowLimits) -> "CutRule":
        """Slabs end at the longest pause far and wide. Where windows are packed with speech, each costs the same
        however full it is: a pause that will do close to the bound is better than a longer one far from it. (talk11m,
        bounds of 24 to 30 s: 729 s of windows instead of 784 s, and no more cuts at pauses below 0.3 s.)"""
        speech, span = round(limits.speech_s * SAMPLE_RATE_HZ), round(limits.span_s * SAMPLE_RATE_HZ)
        widest = max(10 * SAMPLE_RATE_HZ, speech // 5)
        if widest + 2 * CONTEXT_SAMPLES >= speech:
            widest = max(CHUNK_SAMPLES * MIN_PAUSE_CHUNKS, speech // 2 - 2 * CONTEXT_SAMPLES)
        last_resort = (widest, MIN_PAUSE_CHUNKS)
        if span <= speech:
            return cls(speech, span, (last_resort,), widest)
        near = tuple((min(widest, round(step_s * SAMPLE_RATE_HZ)), _PACKED_PAUSE_CHUNKS) for step_s in _PACKED_STEPS_S)
        return cls(speech, span, (*near, last_resort), min(widest, round(_PACKED_THROUGH_S * SAMPLE_RATE_HZ)))


class WindowCutter:
    """Makes windows that hold at most so much speech and are at most so long, cut at a long pause before that bound.

    Cores partition the timeline. A window's audio runs from its first speech to its last, so silence outside is not
    carried; a window without speech is not made.
    """

    def __init__(self, limits: WindowLimits, silence: float) -> None:
        """`silence`: speech probabilities below it count as a pause."""
        self._rule = CutRule.of(limits)
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
        bound = self._bound(start, speech)
        if certain_until <= bound:
            return self._cut(start, certain_until, certain_until, speech) if ended else None
        if not any(low < bound < high for low, high in speech):
            # Silence where the bound falls: all the speech before it fits, and no pause within speech is longer.
            spoken = max(high for _, high in speech if high <= bound)
            middle = (spoken + bound) // 2
            return self._cut(start, middle, middle, speech)
        for back, least_chunks in self._rule.pauses:
            pause = self._longest_pause(bound - back, bound, least_chunks)
            if pause is not None:
                return self._cut(start, pause, pause, speech)
        at = self._least_speech(bound - self._rule.through, bound - CONTEXT_SAMPLES)
        return self._cut(start, at, at + CONTEXT_SAMPLES, speech)

    def _bound(self, start: int, speech: list[SampleSpan]) -> int:
        """The latest end of a window that begins at `start`."""
        bound, room = start + self._rule.max_span, self._rule.max_speech
        for low, high in speech:
            begin = max(low, start)
            if high - begin > room:
                return min(bound, begin + room)
            room -= high - begin
        return bound

    def _cut(self, start: int, core_end: int, reach: int, speech: list[SampleSpan]) -> Cut:
        """`reach`: how far the audio goes; beyond the core's end where the cut goes through speech."""
        inside = [(max(low, start), min(high, reach)) for low, high in speech if low < reach and high > start]
        pauses = tuple(pause for span in inside for pause in self._pauses(*span))
        cut = Cut((self._core_start, core_end), (start, inside[-1][1]), tuple(inside), pauses)
        self._core_start = core_end
        self._from = core_end if reach == core_end else core_end - CONTEXT_SAMPLES
        return cut

    def _longest_pause(self, low: int, high: int, least_chunks: int) -> int | None:
        """Middle of the longest pause within these samples (the latest of equals), on a chunk's border; None without
        any of so many chunks."""
        best_length, best_middle, length = 0, 0, 0
        for chunk in range(-(-low // CHUNK_SAMPLES), high // CHUNK_SAMPLES):
            length = length + 1 if self._probability(chunk) < self._silence else 0
            if length >= max(best_length, least_chunks):
                best_length, best_middle = length, (chunk + 1) * CHUNK_SAMPLES - length * CHUNK_SAMPLES // 2
        return best_middle if best_length else None

    def _pauses(self, low: int, high: int) -> Iterator[SampleSpan]:
        """The pauses of at least about 0.1 s within these samples."""
        begun: int | None = None
        for chunk in range(low // CHUNK_SAMPLES, -(-high // CHUNK_SAMPLES) + 1):
            quiet = chunk * CHUNK_SAMPLES < high and self._probability(chunk) < self._silence
            if quiet and begun is None:
                begun = max(low, chunk * CHUNK_SAMPLES)
            elif not quiet and begun is not None:
                end = min(high, chunk * CHUNK_SAMPLES)
                if end - begun >= MIN_PAUSE_CHUNKS * CHUNK_SAMPLES:
                    yield begun, end
                begun = None

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
