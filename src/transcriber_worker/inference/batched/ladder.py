"""How a passage that was heard badly is heard again: step by step, until it is good or nothing is left to try. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transcriber_worker.inference.batched.checks import Verdict
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Decoded, Recipe
from transcriber_worker.observability.labels import Retry

LEAST_HALF_S = 4.0
"""A shorter passage is heard worse by itself than within a longer one."""
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
_WORTH = {Verdict.GOOD: 3, Verdict.TWO_LANGUAGES: 3, Verdict.CUT_SHORT: 2, Verdict.DOUBTFUL: 1, Verdict.LOOP: 0}


@dataclass(frozen=True, slots=True)
class Step:
    """What to decode instead, and what to call that."""

    retry: Retry
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """A passage that was decoded, and what to make of that."""

    passage: Passage
    decoded: Decoded
    verdict: Verdict


def best_of(tries: Sequence[Try]) -> Try | None:
    """The one to keep: one that is good, else the likeliest that is no loop, else the likeliest. None where nobody
    speaks, where only the prompt came back, and without any."""
    if not tries or tries[-1].verdict is Verdict.SILENCE:
        return None
    return max((one for one in tries if one.verdict in _WORTH), key=_worth, default=None)


def _worth(one: Try) -> tuple[int, float]:
    logprob = one.decoded.avg_logprob
    return _WORTH[one.verdict], logprob if math.isfinite(logprob) else -math.inf


def next_step(passage: Passage, verdict: Verdict | None, *, may_split: bool, adaptive: bool) -> Step | None:
    """What follows on `passage`; None at the end. `verdict` None: it could not be decoded. `adaptive`: whether it may
    have been padded to less than 30 s."""
    if verdict is Verdict.ECHO:
        return Step(Retry.NO_PROMPT, (replace(passage, with_prompt=False),))
    if verdict in (Verdict.GOOD, Verdict.SILENCE):
        return None
    if verdict in (Verdict.LOOP, Verdict.CUT_SHORT) and adaptive and not passage.full_length:
        return Step(Retry.FULL_LENGTH, (replace(passage, full_length=True),))
    halves = passage.halves(LEAST_HALF_S) if may_split and not passage.recipe.timestamps else None
    if halves:
        return Step(Retry.SPLIT, halves)
    if verdict is Verdict.TWO_LANGUAGES:
        return None
    if not passage.recipe.timestamps:
        return Step(Retry.TIMESTAMPS, (replace(passage, recipe=Recipe(timestamps=True)),))
    for temperature in TEMPERATURES:
        if temperature > passage.recipe.temperature:
            recipe = Recipe(timestamps=True, temperature=temperature)
            return Step(Retry.TEMPERATURE, (replace(passage, recipe=recipe),))
    return None
