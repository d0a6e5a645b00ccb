"""Clear speech that got no words: a model skips whole sentences, with figures that no check can see. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Recipe
from transcriber_worker.inference.speech import Stretch, stretches

HOLE_S = 2.0
"""Speech between two words that is shorter than this may be a long vowel, a laugh or a stretched word."""
MARGIN_S = 0.2
"""Heard besides, on both sides of a hole: where a word ends is known no better than that."""
_WORD_S = 1.0
_LETTER_S = 0.15
_DIGIT_S = 0.4
"""A word takes no longer than this. What the alignment says beyond it belongs to words that were skipped."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Clear speech that got no words."""

    gap: Span
    """From the end of the word before to the start of the word behind, or the core's borders."""
    speech: Span
    """From the first to the last clear speech inside."""

    def holds(self, word: Word) -> bool:
        """Whether a word lies in it: by its middle."""
        return self.gap.start_s <= (word.start_s + word.end_s) / 2 < self.gap.end_s


def clear_speech(window: Window, where: Iterable[Span]) -> list[Span]:
    """Where in these stretches of the window's core somebody speaks: its speech without the pauses in it."""
    clear: list[Span] = []
    for span in (inside for stretch in where for inside in within([stretch], window.core)):
        start_s = span.start_s
        for pause in within(window.pauses, span):
            if pause.start_s > start_s:
                clear.append(Span(start_s, pause.start_s))
            start_s = max(start_s, pause.end_s)
        if span.end_s > start_s:
            clear.append(Span(start_s, span.end_s))
    return clear


def find_holes(words: Sequence[Word], clear: Sequence[Span], core: Span) -> list[Hole]:
    """Where between the `words` (in order), or between them and the core's borders, there's more than `HOLE_S` of
    `clear` speech. All on the file's timeline."""
    edges = [
        Span(core.start_s, core.start_s),
        *(Span(word.start_s, spoken_until(word)) for word in words),
        Span(core.end_s, core.end_s),
    ]
    found: list[Hole] = []
    for before, behind in pairwise(edges):
        gap = Span(before.end_s, behind.start_s)
        inside = within(clear, gap)
        if sum(span.duration_s for span in inside) > HOLE_S:
            found.append(Hole(gap, Span(inside[0].start_s, inside[-1].end_s)))
    return found


def spoken_until(word: Word) -> float:
    """Where the word really ends, at the latest."""
    digits = sum(character.isdigit() for character in word.text)
    letters = sum(character.isalpha() for character in word.text)
    return min(word.end_s, word.start_s + _WORD_S + letters * _LETTER_S + digits * _DIGIT_S)


def to_rescue(hole: Hole, window: Window, recipe: Recipe) -> Passage:
    """The hole as a passage of its own."""
    low = window.sample_at(hole.speech.start_s - MARGIN_S)
    high = window.sample_at(hole.speech.end_s + MARGIN_S)
    cut = (Stretch(max(stretch.start, low), min(stretch.end, high)) for stretch in stretches(window))
    speech = tuple(stretch for stretch in cut if stretch.end > stretch.start)
    return Passage(window, speech, recipe, full_length=True)


def words_in_hole(words: Iterable[Word], hole: Hole) -> tuple[Word, ...]:
    """What of the words of a hole's passage lies in the hole."""
    gap = hole.gap
    return tuple(
        replace(word, start_s=max(word.start_s, gap.start_s), end_s=min(word.end_s, gap.end_s))
        for word in words
        if hole.holds(word)
    )


def within(spans: Iterable[Span], bounds: Span) -> list[Span]:
    """The parts of the spans that lie within the bounds."""
    cut = (Span(max(span.start_s, bounds.start_s), min(span.end_s, bounds.end_s)) for span in spans)
    return [span for span in cut if span.end_s > span.start_s]
