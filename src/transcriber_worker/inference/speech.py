"""From a window to the samples the model hears, and from what it heard back to the file's own timeline. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Span, Window
from transcriber_worker.domain.transcript import Segment, Word

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
    return begins_in_speech(window) or ends_in_speech(window)


def begins_in_speech(window: Window) -> bool:
    """Whether it holds speech of the window before."""
    return window.speech[0].start_s < window.core.start_s - _EDGE_S


def ends_in_speech(window: Window) -> bool:
    """Whether it holds speech of the window behind."""
    return window.speech[-1].end_s > window.core.end_s + _EDGE_S


def unpacked(words: Sequence[Word], speech: Sequence[Stretch]) -> tuple[Word, ...]:
    """The words with their times moved from the `speech` put together to the window's `pcm`, in seconds. A word lies
    where its middle is, and ends with that stretch: none reaches over a pause that was left out."""
    starts = list(accumulate((stretch.end - stretch.start for stretch in speech[:-1]), initial=0))

    def placed(word: Word) -> Word:
        middle = word.middle_s * SAMPLE_RATE_HZ
        at = max(0, bisect_right(starts, middle) - 1)
        stretch, skipped_s = speech[at], (speech[at].start - starts[at]) / SAMPLE_RATE_HZ
        low_s, high_s = stretch.start / SAMPLE_RATE_HZ, stretch.end / SAMPLE_RATE_HZ
        start_s = min(max(word.start_s + skipped_s, low_s), high_s)
        return replace(word, start_s=start_s, end_s=min(max(word.end_s + skipped_s, start_s), high_s))

    return tuple(placed(word) for word in words)


def on_file_timeline(segment: Segment, window: Window) -> Segment:
    """The segment with its times moved from the window's samples to the file; nothing ends after the window's audio."""
    return replace(
        segment,
        start_s=_moved(segment.start_s, window),
        end_s=_moved(segment.end_s, window),
        channel=window.channel,
        words=tuple(word_on_file_timeline(word, window) for word in segment.words),
    )


def word_on_file_timeline(word: Word, window: Window) -> Word:
    """The word with its times moved from the window's samples to the file, within the window's audio."""
    return replace(word, start_s=_moved(word.start_s, window), end_s=_moved(word.end_s, window))


def _moved(pcm_time_s: float, window: Window) -> float:
    return min(max(window.file_time_s(pcm_time_s), window.pcm_start_s), window.pcm_start_s + window.duration_s)


def within_core(segment: Segment, core: Span) -> Segment | None:
    """What of the segment belongs to the core, by its words' midpoints; None where nothing does."""
    kept = tuple(word for word in segment.words if core.start_s <= word.middle_s < core.end_s)
    if not kept:
        return None
    if len(kept) == len(segment.words):
        return segment
    text = "".join(word.text for word in kept)
    return replace(segment, start_s=kept[0].start_s, end_s=kept[-1].end_s, text=text, words=kept)
