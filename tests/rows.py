"""Builders for what the batching engine's queue works on."""

from collections.abc import Callable

import numpy as np

from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Ranking, Recipe, Row

PLAIN = Recipe()
PROMPTED = Recipe(prompt_tokens=32)
STAMPED = Recipe(timestamps=True)
WARMER = Recipe(temperature=0.4)


def a_row(
    recipe: Recipe = PLAIN,
    *,
    frames: int = FULL_FRAMES,
    language: str | None = "en",
    choose_language: Callable[[Ranking], str] = lambda ranking: ranking[0][0],
) -> Row:
    """One sample of silence: the queue never looks at it."""
    prompt = (1,) * recipe.prompt_tokens
    return Row(np.zeros(1, np.int16), frames, recipe, Task.TRANSCRIBE, prompt, language, choose_language)


def a_decoded(text: str = "", *, recipe: Recipe = PLAIN, language: str = "en") -> Decoded:
    return Decoded(language, (), text, len(text.split()), (), -0.2, 0.01, 1.2, recipe)
