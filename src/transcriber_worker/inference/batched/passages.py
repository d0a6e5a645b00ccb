"""A stretch of a window that is decoded as one row, and the way of its words back to the file's timeline. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.domain.job import Task
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.rows import Ranking, Recipe, Row
from transcriber_worker.inference.speech import Stretch, unpacked, word_on_file_timeline


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Stretches of a window's speech, heard one after another as one row."""

    window: Window
    speech: tuple[Stretch, ...]
    """In samples of the window's `pcm`, in order, not overlapping, none empty."""
    recipe: Recipe = field(default=Recipe())
    """Its `prompt_tokens` are set when the row is made."""
    with_prompt: bool = True
    full_length: bool = False
    """Whether to pad to 30 s even where windows are padded adaptively."""

    @property
    def pcm(self) -> Pcm:
        """int16, (n,): the stretches put together."""
        return np.concatenate([self.window.pcm[stretch.start : stretch.end] for stretch in self.speech])

    @property
    def duration_s(self) -> float:
        """How long the model listens."""
        return _duration_s(self.speech)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its stretches on the file's timeline."""
        return tuple(
            Span(
                self.window.file_time_s(stretch.start / SAMPLE_RATE_HZ),
                self.window.file_time_s(stretch.end / SAMPLE_RATE_HZ),
            )
            for stretch in self.speech
        )

    def row(
        self,
        *,
        frames: int,
        task: Task,
        prompt: tuple[int, ...],
        language: str | None,
        choose_language: Callable[[Ranking], str],
    ) -> Row:
        """What to ask the model. `prompt`: tokens of the text before, left out where the passage does without."""
        tokens = prompt if self.with_prompt else ()
        recipe = Recipe(len(tokens), self.recipe.timestamps, self.recipe.temperature)
        return Row(self.pcm, frames, recipe, task, tokens, language, choose_language)

    def halves(self, least_s: float) -> "tuple[Passage, Passage] | None":
        """Both sides of its longest pause that leaves at least `least_s` on either; None without any."""
        best: tuple[int, tuple[Stretch, ...], tuple[Stretch, ...]] | None = None
        for pause in self._pauses():
            left = tuple(_up_to(stretch, pause.middle) for stretch in self.speech if stretch.start < pause.middle)
            right = tuple(_from(stretch, pause.middle) for stretch in self.speech if stretch.end > pause.middle)
            if min(_duration_s(left), _duration_s(right)) >= least_s and (best is None or pause.length > best[0]):
                best = (pause.length, left, right)
        return best and (replace(self, speech=best[1]), replace(self, speech=best[2]))

    def _pauses(self) -> list["_Pause"]:
        """Those left out between its stretches, and those within them."""
        between = [_Pause(before.end, behind.start) for before, behind in pairwise(self.speech)]
        at = self.window.sample_at
        within = [_Pause(at(pause.start_s), at(pause.end_s)) for pause in self.window.pauses]
        return between + [p for p in within if any(s.start < p.start and p.end < s.end for s in self.speech)]

    def words(self, heard: Sequence[Word]) -> tuple[Word, ...]:
        """The words of a decoded row of it, on the file's timeline: in order, none overlapping, none outside. What has
        no place in time or no text is left out."""
        finite = [word for word in heard if word.text and math.isfinite(word.start_s) and math.isfinite(word.end_s)]
        placed: list[Word] = []
        for word in (word_on_file_timeline(word, self.window) for word in unpacked(finite, self.speech)):
            start_s = max(word.start_s, placed[-1].end_s) if placed else word.start_s
            placed.append(replace(word, start_s=start_s, end_s=max(word.end_s, start_s)))
        return tuple(placed)


@dataclass(frozen=True, slots=True)
class _Pause:
    """In samples of a window's `pcm`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def middle(self) -> int:
        return (self.start + self.end) // 2


def _duration_s(speech: Sequence[Stretch]) -> float:
    return sum(stretch.end - stretch.start for stretch in speech) / SAMPLE_RATE_HZ


def _up_to(stretch: Stretch, sample: int) -> Stretch:
    return Stretch(stretch.start, min(stretch.end, sample))


def _from(stretch: Stretch, sample: int) -> Stretch:
    return Stretch(max(stretch.start, sample), stretch.end)
