"""Clear speech without words, and the words found in it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.speech import a_window
from tests.unit.inference.batched.hearsay import a_busy_window
from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.holes import (
    HOLE_S,
    MARGIN_S,
    Hole,
    clear_speech,
    find_holes,
    spoken_until,
    to_rescue,
    words_in_hole,
)
from transcriber_worker.inference.batched.rows import Recipe

CORE = Span(0, 20)


def words(*spans: tuple[float, float]) -> list[Word]:
    return [Word(start, end, " word", 0.9) for start, end in spans]


@pytest.mark.parametrize(
    ("pauses", "clear"),
    [
        ([], [(0, 20)]),
        ([(0, 1), (5, 6), (19, 20)], [(1, 5), (6, 19)]),
        ([(4, 6), (5, 8)], [(0, 4), (8, 20)]),
        ([(0, 20)], []),
    ],
)
def test_clear_speech_is_speech_without_pauses(
    pauses: list[tuple[float, float]], clear: list[tuple[float, float]]
) -> None:
    assert clear_speech(a_busy_window(20, pauses=pauses), [CORE]) == [Span(*span) for span in clear]


def test_clear_speech_is_looked_for_in_the_core_and_where_told() -> None:
    window = a_busy_window(20, pauses=[(8, 9)], core=Span(2, 18))
    assert clear_speech(window, [Span(0, 10), Span(15, 20)]) == [Span(2, 8), Span(9, 10), Span(15, 18)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], [(0, 20)]),
        ([(0, 1), (3, 18), (18, 20)], [(4.6, 18)]),
        ([(float(at), at + 1.0) for at in range(0, 20, 3)], []),
        (
            [(2.1, 3), (3.5, 4), (4.5, 5), (5.5, 6), (6, 6.5), (8.6, 9), (11.1, 12), (13, 17.9)],
            [(0, 2.1), (6.5, 8.6), (9, 11.1), (14.6, 20)],
        ),
    ],
    ids=["no words", "a word stretched over others", "here and there", "before, between and behind"],
)
def test_holes_are_gaps_with_speech(said: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    found = find_holes(words(*said), [CORE], CORE)
    assert [(hole.gap.start_s, hole.gap.end_s) for hole in found] == expected


def test_only_speech_counts_and_only_from_first_to_last() -> None:
    clear = [Span(0, 1), Span(4, 5), Span(6, 7.5), Span(9, 20)]
    assert find_holes(words((0, 1), (9, 10), (10, 20)), [*clear[:2], Span(6, 7)], CORE) == []
    found = find_holes(words((0, 1), *[(float(at), at + 1.0) for at in range(9, 20)]), clear, CORE)
    assert found == [Hole(Span(1, 9), Span(4, 7.5))]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 19), st.floats(0, 3)), max_size=15))
def test_no_hole_is_missed_and_none_is_made_up(said: Sequence[tuple[float, float]]) -> None:
    """Every moment of speech more than two seconds from any word lies in a hole, and holes hold no word's begin."""
    placed, at = [], 0.0
    for gap_s, length_s in said:
        start_s = min(20.0, at + gap_s)
        at = min(20.0, start_s + length_s)
        placed.append(Word(start_s, at, " word", 0.9))
    found = find_holes(placed, [CORE], CORE)
    for moment in (tenth / 10 for tenth in range(200)):
        near = any(w.start_s - HOLE_S <= moment <= spoken_until(w) + HOLE_S for w in placed)
        if not near and HOLE_S <= moment <= 20 - HOLE_S:
            assert any(hole.gap.start_s <= moment <= hole.gap.end_s for hole in found)
    for hole in found:
        assert hole.gap.duration_s > HOLE_S
        assert not any(hole.gap.start_s < word.start_s < hole.gap.end_s for word in placed)


@pytest.mark.parametrize(
    ("text", "longest_s"),
    [(" a", 1.15), (" word", 1.6), (" Donaudampfschifffahrt", 4.15), (" 1945", 2.6), ("字", 1.15), (" —", 1.0)],
)
def test_how_long_a_word_can_take(text: str, longest_s: float) -> None:
    assert spoken_until(Word(2.0, 30.0, text, 0.9)) == pytest.approx(2 + longest_s)
    assert spoken_until(Word(2.0, 2.5, text, 0.9)) == 2.5


def test_a_hole_is_heard_by_itself_with_a_margin_and_without_the_pauses_left_out() -> None:
    window = a_window(seconds=30, start_s=100, speech=[Span(101, 110), Span(115, 120), Span(125, 130)])
    passage = to_rescue(Hole(Span(105, 119), Span(106, 118)), window, Recipe(timestamps=True))
    assert passage.spans == (Span(106 - MARGIN_S, 110), Span(115, 118 + MARGIN_S))
    assert passage.recipe.timestamps
    assert passage.full_length


def test_words_in_a_hole_have_their_middle_in_it_and_end_with_it() -> None:
    hole = Hole(Span(5, 10), Span(5, 10))
    found = words_in_hole(words((4, 5.9), (4, 6.2), (7, 8), (9.5, 10.4), (9.5, 10.6)), hole)
    assert [(word.start_s, word.end_s) for word in found] == [(5, 6.2), (7, 8), (9.5, 10)]
