"""Rows made of a window's speech, and their words on the file's timeline."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.speech import a_window
from tests.unit.inference.batched.hearsay import a_busy_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.domain.job import Task
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Ranking, Recipe
from transcriber_worker.inference.speech import stretches


def whole(window: Window) -> Passage:
    return Passage(window, stretches(window))


def first(ranking: Ranking) -> str:
    return ranking[0][0]


def test_a_row_holds_the_speech_alone() -> None:
    pcm: Pcm = np.arange(0, 160, dtype=np.int16)
    window = a_window(pcm=pcm, speech=[Span(0.001, 0.002), Span(0.005, 0.006)])
    row = whole(window).row(frames=3000, task=Task.TRANSLATE, prompt=(7, 8), language=None, choose_language=first)
    assert row.pcm.tolist() == [*range(16, 32), *range(80, 96)]
    assert (row.frames, row.task, row.language) == (3000, Task.TRANSLATE, None)
    assert (row.prompt, row.recipe) == ((7, 8), Recipe(prompt_tokens=2))
    assert row.choose_language is first


def test_a_passage_without_prompt_leaves_it_out() -> None:
    passage = replace(whole(a_busy_window(5)), with_prompt=False, recipe=Recipe(timestamps=True, temperature=0.4))
    row = passage.row(frames=500, task=Task.TRANSCRIBE, prompt=(7, 8), language="en", choose_language=first)
    assert (row.prompt, row.recipe) == ((), Recipe(0, timestamps=True, temperature=0.4))


@pytest.mark.parametrize(
    ("speech", "pauses", "cut"),
    [
        ([(0, 20)], [(8, 9), (12, 12.5)], (8.5, 8.5)),
        ([(0, 20)], [(1, 3), (12, 12.5)], (12.25, 12.25)),
        ([(0, 8), (12, 20)], [(4.5, 6), (14, 15)], (8, 12)),
        ([(0, 8), (12, 20)], [(7, 8), (14, 15)], (8, 12)),
        ([(0, 20)], [], None),
        ([(0, 20)], [(1, 2), (18, 19)], None),
        ([(0, 7)], [(3, 4)], None),
    ],
)
def test_halves(
    speech: list[tuple[float, float]], pauses: list[tuple[float, float]], cut: tuple[float, float] | None
) -> None:
    window = a_window(seconds=20, speech=[Span(*span) for span in speech])
    halves = whole(replace(window, pauses=tuple(Span(*pause) for pause in pauses))).halves(4.0)
    assert (halves is None) == (cut is None)
    if halves is not None and cut is not None:
        left, right = halves
        assert (left.spans[-1].end_s, right.spans[0].start_s) == cut
        assert (left.spans[0], right.spans[-1].end_s) == (Span(speech[0][0], left.spans[0].end_s), speech[-1][1])


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 28 * 16_000), min_size=2, max_size=10, unique=True),
    st.lists(st.tuples(st.integers(0, 280), st.integers(1, 30)), max_size=6),
)
def test_halves_are_what_the_whole_was(edges: list[int], pauses: list[tuple[int, int]]) -> None:
    edges = sorted(edges)
    spans = [Span(a / 16_000, b / 16_000) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    window = replace(a_window(seconds=28, speech=spans), pcm=np.arange(28 * 16_000).astype(np.int16))
    window = replace(window, pauses=tuple(Span(at / 10, (at + length) / 10) for at, length in sorted(pauses)))
    passage = whole(window)
    halves = passage.halves(4.0)
    if halves is not None:
        assert np.array_equal(np.concatenate([half.pcm for half in halves]), passage.pcm)
        assert all(half.duration_s >= 4.0 for half in halves)
        assert all(stretch.end > stretch.start for half in halves for stretch in half.speech)


@pytest.mark.parametrize(
    ("heard", "placed"),
    [
        ((0.0, 1.0), (101.0, 102.0)),
        ((2.5, 3.5), (120.0, 120.5)),
        ((2.4, 3.4), (103.4, 104.0)),
        ((3.0, 4.0), (120.0, 121.0)),
        ((4.5, 9.0), (121.5, 122.0)),
        ((-1.0, 0.5), (101.0, 101.5)),
    ],
    ids=["first stretch", "middle on the border", "over the pause", "second stretch", "beyond the end", "before it"],
)
def test_a_word_lies_in_one_stretch(heard: tuple[float, float], placed: tuple[float, float]) -> None:
    window = a_window(seconds=30, start_s=100, speech=[Span(101, 104), Span(120, 122)])
    (word,) = whole(window).words([Word(*heard, " a", 0.5)])
    assert (word.start_s, word.end_s) == pytest.approx(placed)


def test_words_of_a_faster_played_window_are_on_the_files_own_timeline() -> None:
    window = a_window(seconds=20, start_s=100, speech=[Span(104, 110), Span(112, 120)], speed=2.0)
    words = whole(window).words([Word(0.0, 1.0, " a", 0.5), Word(3.5, 4.0, " b", 0.5)])
    assert [(word.start_s, word.end_s) for word in words] == [(104.0, 106.0), (113.0, 114.0)]


def test_what_has_no_time_or_no_text_is_no_word() -> None:
    nan = float("nan")
    heard = [Word(0, 1, "", 0.5), Word(nan, 1, " a", 0.5), Word(1, float("inf"), " b", 0.5), Word(1, 2, " c", 0.5)]
    assert [word.text for word in whole(a_busy_window(5)).words(heard)] == [" c"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 40), st.floats(-10, 40)), max_size=12))
def test_words_ascend_and_stay_in_their_speech(times: Sequence[tuple[float, float]]) -> None:
    spans = (Span(101, 104), Span(110, 115), Span(120, 122))
    words = whole(a_window(seconds=30, start_s=100, speech=spans)).words([Word(*pair, " a", 0.5) for pair in times])
    assert len(words) == len(times)
    for before, behind in pairwise(words):
        assert before.end_s <= behind.start_s
    for word in words:
        assert word.start_s <= word.end_s
        assert any(s.start_s <= word.start_s and word.end_s <= s.end_s for s in spans)


def test_time_counts_from_the_sample() -> None:
    assert whole(a_busy_window(5)).duration_s == 5.0
    assert len(whole(a_busy_window(5)).pcm) == 5 * SAMPLE_RATE_HZ
