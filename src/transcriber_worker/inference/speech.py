"""From a window to the samples the model hears, and from what it heard back to the file's own timeline. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.transcript import Segment, Word

SEAM_S = 0.3
"""Equal words closer than this on both sides of a cut through speech are one word heard twice."""

_EDGE_S = 0.01
"""Speech reaching less than this past its window's core is rounding, not context."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of speech in a window's samples; `end` is not part of it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """A segment as the model gave it: times in seconds into the window's `pcm`."""

    segment: Segment
    tokens: tuple[int, ...]


def stretches(window: Window) -> tuple[Stretch, ...]:
    """The window's speech, in samples."""
    found = (Stretch(window.sample_at(span.start_s), window.sample_at(span.end_s)) for span in window.speech)
    return tuple(stretch for stretch in found if stretch.end > stretch.start)


def speech_samples(window: Window, speech: Sequence[Stretch]) -> Samples:
    """The speech of a window, its pauses left out, scaled as faster-whisper's own decoder does it: float32, (n,)."""
    return np.concatenate([window.pcm[s.start : s.end] for s in speech]).astype(np.float32) / 32768.0


def has_context(window: Window) -> bool:
    """Whether the window was cut through speech, so that it also holds speech of its neighbours."""
    first, last = window.speech[0], window.speech[-1]
    return first.start_s < window.core.start_s - _EDGE_S or last.end_s > window.core.end_s + _EDGE_S


def on_file_timeline(segment: Segment, window: Window) -> Segment:
    """The segment with its times moved from the window's samples to the file; nothing ends after the window's audio."""
    end_s = window.pcm_start_s + window.duration_s

    def moved(pcm_time_s: float) -> float:
        return min(max(window.file_time_s(pcm_time_s), window.pcm_start_s), end_s)

    return replace(
        segment,
        start_s=moved(segment.start_s),
        end_s=moved(segment.end_s),
        channel=window.channel,
        words=tuple(replace(w, start_s=moved(w.start_s), end_s=moved(w.end_s)) for w in segment.words),
    )


def within_core(segment: Segment, core: Span, last: Word | None) -> Segment | None:
    """What of the segment belongs to the core, by its words' midpoints; None where nothing does.

    `last`: the word that the previous window ended with; heard again across the cut, it is left out.
    """
    kept = tuple(word for word in segment.words if core.start_s <= (word.start_s + word.end_s) / 2 < core.end_s)
    if kept and last is not None and _same(last, kept[0]):
        kept = kept[1:]
    if not kept:
        return None
    if len(kept) == len(segment.words):
        return segment
    text = "".join(word.text for word in kept)
    return replace(segment, start_s=kept[0].start_s, end_s=kept[-1].end_s, text=text, words=kept)


def _same(one: Word, other: Word) -> bool:
    near = abs((one.start_s + one.end_s) - (other.start_s + other.end_s)) / 2 < SEAM_S
    return near and _letters(one.text) == _letters(other.text)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
