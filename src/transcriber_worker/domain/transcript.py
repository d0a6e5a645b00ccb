"""What was heard: words and segments on the file's own timeline."""

from dataclasses import dataclass

from transcriber_worker.domain.audio import Span


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its leading space as the model wrote it; times in seconds on the file's own timeline."""

    start_s: float
    end_s: float
    text: str
    probability: float

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Segment:
    """A phrase. `words` is empty unless words were asked for; the confidence fields are the model's own."""

    start_s: float
    end_s: float
    text: str
    channel: int | None = None
    words: tuple[Word, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    compression_ratio: float = 1.0
    temperature: float = 0.0
    flags: tuple[str, ...] = ()
    """Of `low_confidence`, `no_speech_likely`, `repetition`."""
    language: str | None = None
    """Given only where the languages of a file may change on the way."""


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """What the engine heard in one window."""

    segments: tuple[Segment, ...]
    language: str | None
    language_probability: float
    tokens: int = 0
    """Text tokens decoded, for throughput."""
    holes_found: int = 0
    """Stretches of clear speech that got no words at first, and were listened to again by themselves."""
    holes_rescued: int = 0
    """How many of them got words then."""
    wordless: tuple[Span, ...] = ()
    """Clear speech that has no words even so."""
    lost: tuple[Span, ...] = ()
    """What could not be transcribed at all: every attempt at it failed."""
