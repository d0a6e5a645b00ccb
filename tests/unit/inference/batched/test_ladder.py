"""The order in which a badly heard passage is heard again."""

import pytest

from tests.unit.inference.batched.hearsay import a_busy_window, heard
from transcriber_worker.inference.batched.checks import Verdict
from transcriber_worker.inference.batched.ladder import LEAST_HALF_S, Try, best_of, next_step
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Recipe
from transcriber_worker.inference.speech import stretches
from transcriber_worker.observability.labels import Retry


def a_passage(recipe: Recipe = Recipe(), *, full_length: bool = False) -> Passage:  # noqa: B008 - a value
    window = a_busy_window(20, pauses=[(9, 10)])
    return Passage(window, stretches(window), recipe, full_length=full_length)


PLAIN = a_passage()
TIMESTAMPS = a_passage(Recipe(timestamps=True))
HOT = a_passage(Recipe(timestamps=True, temperature=0.8))
HOTTEST = a_passage(Recipe(timestamps=True, temperature=1.0))


@pytest.mark.parametrize(
    ("passage", "verdict", "may_split", "adaptive", "retry"),
    [
        (PLAIN, Verdict.GOOD, True, True, None),
        (PLAIN, Verdict.SILENCE, True, True, None),
        (PLAIN, Verdict.ECHO, True, True, Retry.NO_PROMPT),
        (HOTTEST, Verdict.ECHO, True, True, Retry.NO_PROMPT),
        (PLAIN, Verdict.LOOP, True, False, Retry.SPLIT),
        (PLAIN, Verdict.LOOP, True, True, Retry.FULL_LENGTH),
        (a_passage(full_length=True), Verdict.LOOP, True, True, Retry.SPLIT),
        (PLAIN, Verdict.CUT_SHORT, True, True, Retry.FULL_LENGTH),
        (PLAIN, Verdict.DOUBTFUL, True, True, Retry.SPLIT),
        (PLAIN, Verdict.DOUBTFUL, False, False, Retry.TIMESTAMPS),
        (PLAIN, Verdict.TWO_LANGUAGES, True, True, Retry.SPLIT),
        (PLAIN, Verdict.TWO_LANGUAGES, False, True, None),
        (PLAIN, None, True, False, Retry.SPLIT),
        (TIMESTAMPS, Verdict.DOUBTFUL, True, False, Retry.TEMPERATURE),
        (HOT, Verdict.LOOP, True, False, Retry.TEMPERATURE),
        (HOTTEST, Verdict.LOOP, True, False, None),
        (HOTTEST, None, True, False, None),
    ],
)
def test_step_by_step(
    passage: Passage, verdict: Verdict | None, may_split: bool, adaptive: bool, retry: Retry | None
) -> None:
    step = next_step(passage, verdict, may_split=may_split, adaptive=adaptive)
    assert (step and step.retry) == retry


def test_a_step_keeps_what_it_does_not_change() -> None:
    """The prompt stays away once it was echoed, and the length full once it was extended, whatever follows."""
    step = next_step(PLAIN, Verdict.ECHO, may_split=True, adaptive=True)
    assert step is not None
    step = next_step(step.passages[0], Verdict.LOOP, may_split=True, adaptive=True)
    assert step is not None
    step = next_step(step.passages[0], Verdict.LOOP, may_split=True, adaptive=True)
    assert step is not None
    assert step.retry is Retry.SPLIT
    for half in step.passages:
        hot = next_step(half, Verdict.LOOP, may_split=False, adaptive=True)
        assert hot is not None
        assert (hot.passages[0].with_prompt, hot.passages[0].full_length) == (False, True)


def test_temperature_rises_and_timestamps_stay() -> None:
    recipes = []
    passage: Passage | None = PLAIN
    while passage is not None:
        recipes.append((passage.recipe.timestamps, passage.recipe.temperature))
        step = next_step(passage, Verdict.DOUBTFUL, may_split=False, adaptive=False)
        passage = step.passages[0] if step else None
    assert recipes == [(False, 0.0), *((True, t) for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))]


def test_halves_are_long_enough() -> None:
    window = a_busy_window(20, pauses=[(0, 2 * LEAST_HALF_S - 0.2), (17, 19)])
    step = next_step(Passage(window, stretches(window)), Verdict.DOUBTFUL, may_split=True, adaptive=False)
    assert step is not None
    assert step.retry is Retry.TIMESTAMPS


def a_try(verdict: Verdict, logprob: float) -> Try:
    return Try(PLAIN, heard(logprob=logprob), verdict)


@pytest.mark.parametrize(
    ("tries", "best"),
    [
        ([], None),
        ([(Verdict.ECHO, -0.1)], None),
        ([(Verdict.LOOP, -0.1), (Verdict.SILENCE, -1.2)], None),
        ([(Verdict.DOUBTFUL, -1.1), (Verdict.GOOD, -0.9)], 1),
        ([(Verdict.CUT_SHORT, -0.2), (Verdict.LOOP, -0.1)], 0),
        ([(Verdict.CUT_SHORT, -0.2), (Verdict.GOOD, -0.9)], 1),
        ([(Verdict.LOOP, -0.1), (Verdict.DOUBTFUL, -1.4), (Verdict.DOUBTFUL, -1.2)], 2),
        ([(Verdict.LOOP, -0.3), (Verdict.ECHO, -0.1), (Verdict.LOOP, -0.2)], 2),
        ([(Verdict.DOUBTFUL, float("nan")), (Verdict.DOUBTFUL, -3.0)], 1),
    ],
)
def test_the_best_try(tries: list[tuple[Verdict, float]], best: int | None) -> None:
    made = [a_try(*one) for one in tries]
    assert best_of(made) is (None if best is None else made[best])
