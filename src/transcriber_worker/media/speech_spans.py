"""Speech probabilities into padded stretches of speech, as faster-whisper finds them, as soon as they are certain.
Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

CHUNK_SAMPLES = 512
SAMPLES_PER_MS = 16

SampleSpan = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpeechThresholds:
    """Speech begins at `threshold`, ends where it stays below `threshold - 0.15` for `min_silence_ms`, and is
    padded."""

    threshold: float = 0.5
    min_silence_ms: int = 2000
    speech_pad_ms: int = 400

    @property
    def silence(self) -> float:
        """Below this, audio is silence even within speech."""
        return max(self.threshold - 0.15, 0.01)


class SpeechSpans:
    """Follows one channel. Its spans equal those of `faster_whisper.vad.get_speech_timestamps` on the whole; each is
    given out once nothing behind it can change it."""

    def __init__(self, thresholds: SpeechThresholds) -> None:
        self._thresholds = thresholds
        self._pad = thresholds.speech_pad_ms * SAMPLES_PER_MS
        self._min_silence = thresholds.min_silence_ms * SAMPLES_PER_MS
        self._chunks = 0
        self._start: int | None = None
        """Raw start of the speech going on."""
        self._padded_start = 0
        self._pause: int | None = None
        """Where the speech going on may have ended."""
        self._ended: SampleSpan | None = None
        """The last speech: its padded start and raw end, its padded end still open."""
        self._certain = 0

    def feed(self, probabilities: Iterable[float]) -> list[SampleSpan]:
        """Spans, in samples, that became final."""
        final: list[SampleSpan] = []
        for probability in probabilities:
            at = self._chunks * CHUNK_SAMPLES
            self._chunks += 1
            if probability >= self._thresholds.threshold:
                self._pause = None
                if self._start is None:
                    final += self._begin(at)
            elif probability < self._thresholds.silence and self._start is not None:
                self._maybe_end(at)
        return final + self._settle()

    def finish(self, total_samples: int) -> list[SampleSpan]:
        """The rest of the spans; the channel is `total_samples` long."""
        final: list[SampleSpan] = []
        if self._start is not None and total_samples > self._start:
            self._ended = (self._padded_start, total_samples)
        if self._ended is not None:
            final.append((self._ended[0], min(total_samples, self._ended[1] + self._pad)))
        self._start = self._ended = None
        self._certain = total_samples
        return final

    @property
    def going_on(self) -> SampleSpan | None:
        """Speech that has begun and not ended, as far as it is certain: padded start and end."""
        if self._start is not None:
            return self._padded_start, self.certain_until
        if self._ended is not None:
            return self._ended
        return None

    @property
    def certain_until(self) -> int:
        """Up to here it is settled what is speech and what is not."""
        if self._start is not None:
            return self._pause if self._pause is not None else self._chunks * CHUNK_SAMPLES
        if self._ended is not None:
            return self._ended[1]
        return max(self._certain, self._chunks * CHUNK_SAMPLES - self._pad)

    def _begin(self, at: int) -> list[SampleSpan]:
        self._start = at
        if self._ended is None:
            self._padded_start = max(0, at - self._pad)
            return []
        start, end = self._ended
        self._ended = None
        silence = at - end
        half = silence // 2 if silence < 2 * self._pad else self._pad
        self._padded_start = max(0, at - half)
        return [(start, end + half)]

    def _maybe_end(self, at: int) -> None:
        if self._pause is None:
            self._pause = at
        if at - self._pause >= self._min_silence:
            self._ended = (self._padded_start, self._pause)
            self._start = self._pause = None

    def _settle(self) -> list[SampleSpan]:
        """The last speech is final once the silence behind it is too long for a following one to share its padding."""
        if self._start is not None or self._ended is None:
            return []
        start, end = self._ended
        if self._chunks * CHUNK_SAMPLES - end < 2 * self._pad:
            return []
        self._ended = None
        self._certain = end + self._pad
        return [(start, end + self._pad)]
