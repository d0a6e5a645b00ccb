"""Where one window ends and the next begins: which words are whose. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.speech import begins_in_speech, ends_in_speech, within_core

SEAM_S = 0.3
"""Two windows find the same word at times that differ by less than this."""


@dataclass(frozen=True, slots=True)
class Seam:
    """What a window heard on both sides of the cut through speech that it ends with."""

    last: Word | None = None
    """The last word of its own."""
    beyond: Word | None = None
    """The first one that it left to the next window."""


NO_SEAM = Seam()
"""A window that does not end with a cut through speech."""


def trimmed(segments: Sequence[Segment], window: Window, before: Seam) -> tuple[list[Segment], Seam]:
    """Only what belongs to the window, and what the next one has to know. `before`: the seam with the window before."""
    words = [word for segment in segments for word in segment.words]
    # Without a cut through speech nobody else hears what is there, however close to the border it is.
    own = Span(
        _first_s(words, window.core.start_s, before) if begins_in_speech(window) else -math.inf,
        window.core.end_s if ends_in_speech(window) else math.inf,
    )
    kept = [inside for segment in segments if (inside := within_core(segment, own)) is not None]
    if math.isinf(own.end_s):
        return kept, NO_SEAM
    beyond = next((word for word in words if word.middle_s >= own.end_s), None)
    return kept, Seam(kept[-1].words[-1] if kept else None, beyond)


def _first_s(words: Sequence[Word], cut_s: float, before: Seam) -> float:
    """Where the window's own words begin: at the cut, unless the words around it tell otherwise. Its times and those of
    the window before differ a little, so that both may take a word on the cut for their own, or for the other's."""
    first = sum(word.middle_s < cut_s for word in words)

    def agreeing(index: int) -> int:
        """How many of the words around the seam are the same, were the `index`-th the first."""
        pairs = ((before.last, index - 1), (before.beyond, index))
        return sum(heard is not None and 0 <= at < len(words) and _same(heard, words[at]) for heard, at in pairs)

    chosen = max((first, first - 1, first + 1), key=agreeing)
    if chosen == first:
        return cut_s
    return words[chosen].middle_s if chosen < len(words) else math.inf


def _same(one: Word, other: Word) -> bool:
    near = abs(one.middle_s - other.middle_s) < SEAM_S
    return near and _letters(one.text) == _letters(other.text)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
