"""Audio as values: spans of time, windows of samples, what became of a file."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file's own timeline, in seconds; `end_s` is not part of it."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of one channel of one file, ready for the engine.

    All times are on the file's own timeline, whatever the speed. The cores of a channel's windows partition its
    timeline: a word belongs to the window whose `core` holds its midpoint; the rest of `pcm` is context.
    """

    index: int
    """Position in its channel, from 0."""
    channel: int | None
    """Channel number from 0, or None where the channels were mixed."""
    core: Span
    pcm_start_s: float
    """File time of the first sample of `pcm`."""
    pcm: Pcm
    """int16, (n,), mono 16 kHz, sped up by `speed`."""
    speech: tuple[Span, ...]
    """Where speech was found inside `pcm`, padded as the detector was told, in order, not overlapping."""
    speed: float = 1.0
    pauses: tuple[Span, ...] = ()
    """Where inside `speech` nobody speaks for a moment (about 0.1 s and more), in order, not overlapping."""

    @property
    def duration_s(self) -> float:
        """How long `pcm` is on the file's own timeline."""
        return len(self.pcm) / SAMPLE_RATE_HZ * self.speed

    def file_time_s(self, pcm_time_s: float) -> float:
        """File time of the moment `pcm_time_s` seconds into `pcm`."""
        return self.pcm_start_s + pcm_time_s * self.speed

    def sample_at(self, file_time_s: float) -> int:
        """Index into `pcm` of a moment of the file's timeline, within bounds."""
        index = round((file_time_s - self.pcm_start_s) / self.speed * SAMPLE_RATE_HZ)
        return min(max(index, 0), len(self.pcm))


class Notice(StrEnum):
    """Code of a warning that a transcript may carry."""

    DAMAGED = "damaged_input"
    TRUNCATED = "truncated_input"
    NO_SPEECH = "no_speech"
    REPETITION = "repetition_removed"
    LOW_CONFIDENCE = "low_confidence"
    LANGUAGE_UNCERTAIN = "language_uncertain"
    SPEECH_WITHOUT_WORDS = "speech_without_words"
    NOT_TRANSCRIBED = "not_transcribed"


@dataclass(frozen=True, slots=True)
class TranscriptWarning:
    """Something a reader of the transcript should know."""

    code: Notice
    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says of itself, known before its first window."""

    container: str
    codec: str
    channels: int
    sample_rate_hz: int
    duration_s: float | None
    """The container's own claim; None where it makes none."""


@dataclass(frozen=True, slots=True)
class MediaReport:
    """What decoding really found, known after the last window."""

    decoded_s: float
    """Audio really decoded, on the file's own timeline, gaps not counted."""
    end_s: float
    """Where the decoded timeline ends, gaps counted."""
    speech_s: float
    """Speech found, summed over channels."""
    damaged_packets: int = 0
    gaps: tuple[Span, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = field(default=())
    decode_cpu_s: float = 0.0
    detect_cpu_s: float = 0.0
