"""Loops go, honest repetition stays."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transcript.transcripts import spoken
from transcriber_worker.domain.audio import Notice, Span
from transcriber_worker.domain.transcript import Segment
from transcriber_worker.transcript.flags import LOW_CONFIDENCE
from transcriber_worker.transcript.repetition import (
    MAX_PHRASE_WORDS,
    MIN_LOOP_WORDS,
    MIN_REPEATS,
    has_loop,
    without_loops,
)


def text_left(text: str) -> str:
    kept, _ = without_loops([Segment(0.0, 30.0, text)])
    return kept[0].text


def in_a_row(text: str, count: int, gap_s: float = 0.0, flags: tuple[str, ...] = ()) -> list[Segment]:
    return [Segment(i * (2.0 + gap_s), i * (2.0 + gap_s) + 2.0, text, flags=flags) for i in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        "No, no, no.",
        "It is very, very, very, very good.",
        "no no no no no no no no no no no no no no no no no no no no no no no",
        "Thank you. Thank you. Thank you. Thank you. Thank you. Thank you.",
        "Let it be, let it be, let it be, let it be.",
        "We will, we will rock you. We will, we will rock you. We will, we will rock you.",
        "Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily, life is but a dream.",
        "one two three four five six seven eight nine " * 4,
        "谢谢，谢谢，谢谢，谢谢，谢谢。",
    ],
)
def test_people_who_repeat_themselves_are_left_alone(text: str) -> None:
    segment = Segment(0.0, 30.0, text)
    assert without_loops([segment]) == ([segment], [])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no " * 24, "no no"),
        ("So I said thank you " + "thank you " * 20 + "and left.", "So I said thank you thank you and left."),
        ("I'm going to " * 30 + "I'm", "I'm going to I'm going to"),
        ("A b c d e f g h. " * 4 + "Then it went on.", "A b c d e f g h. A b c d e f g h. Then it went on."),
        ("Bye. " * 30 + "He left. " + "ha ha " * 20, "Bye. Bye. He left. ha ha"),
        ("ご視聴ありがとうございました。" * 5, "ご視聴ありがとうございました。ご視聴ありがとうございました。"),
    ],
)
def test_of_a_loop_inside_a_segment_two_rounds_are_kept(text: str, left: str) -> None:
    assert text_left(text) == left


def test_a_loop_is_flagged_and_warned_of_with_its_span() -> None:
    kept, warnings = without_loops([Segment(3.0, 33.0, "You know " * 20)])
    assert kept[0].flags == ("repetition",)
    assert [(w.code, w.span) for w in warnings] == [(Notice.REPETITION, Span(3.0, 33.0))]
    assert "36 words" in warnings[0].message


def test_words_go_with_the_text_and_tell_where_the_loop_was() -> None:
    segment = spoken("Then it said " + "go on " * 15 + "and stopped.", start_s=10.0, word_s=1.0)
    (kept,), (warning,) = without_loops([segment])
    assert "".join(word.text for word in kept.words) == kept.text == " Then it said go on go on and stopped."
    assert kept.words[-1].end_s == segment.end_s
    assert warning.span == Span(13.0, 43.0)


def test_equal_segments_in_a_row_become_one() -> None:
    before, after = Segment(0, 1, "Before."), Segment(40, 41, "After.")
    looped = in_a_row(" It was a long and winding road.", 8)
    looped = [replace(s, start_s=s.start_s + 1, end_s=s.end_s + 1) for s in looped]
    kept, warnings = without_loops([before, *looped, after])
    assert [s.text for s in kept] == ["Before.", " It was a long and winding road.", "After."]
    assert [s.flags for s in kept] == [(), ("repetition",), ()]
    assert [(w.code, w.span) for w in warnings] == [(Notice.REPETITION, Span(1.0, 17.0))]
    assert "7 segments" in warnings[0].message


def test_equal_segments_the_model_doubts_become_one_earlier() -> None:
    """ "Thank you." over applause is what a model hears in noise."""
    sure, _ = without_loops(in_a_row("Thank you.", 4))
    doubted, _ = without_loops(in_a_row("Thank you.", 4, flags=(LOW_CONFIDENCE,)))
    assert (len(sure), len(doubted)) == (4, 1)


def test_three_doubted_equal_segments_stay() -> None:
    assert len(without_loops(in_a_row("Thank you very much.", 3, flags=(LOW_CONFIDENCE,)))[0]) == 3


def test_the_same_answer_again_and_again_is_no_loop() -> None:
    """One side of a telephone call."""
    answers = in_a_row("Okay, I see, yes.", 12, gap_s=5.0)
    assert without_loops(answers) == (answers, [])


def test_a_loop_that_fills_equal_segments_is_cut_inside_the_one_that_stays() -> None:
    kept, warnings = without_loops(in_a_row("on and " * 20, 5))
    assert [s.text for s in kept] == ["on and on and"]
    assert len(warnings) == 2


phrases = st.lists(st.sampled_from(["a", "b", "c"]), max_size=60)


@given(phrases)
def test_what_is_left_is_part_of_what_was_said_in_order(words: list[str]) -> None:
    rest = iter(words)
    assert all(word in rest for word in text_left(" ".join(words)).split())


@given(phrases)
def test_text_without_a_loop_by_the_bounds_is_untouched(words: list[str]) -> None:
    text = " ".join(words)
    assert (text_left(text) == text) is not _holds_loop(words)


@given(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=8), st.integers(0, 40), phrases)
def test_words_and_text_are_cut_alike(phrase: list[str], times: int, others: list[str]) -> None:
    segment = spoken(" ".join([*others, *(phrase * times), "end"]))
    (kept,), _ = without_loops([segment])
    assert "".join(word.text for word in kept.words).split() == kept.text.split()


def _holds_loop(words: list[str]) -> bool:
    """By trying every place and every length."""
    for period in range(1, MAX_PHRASE_WORDS + 1):
        repeats = max(MIN_REPEATS, -(-MIN_LOOP_WORDS // period))
        for at in range(len(words) - period * repeats + 1):
            if words[at : at + period] * repeats == words[at : at + period * repeats]:
                return True
    return False


@pytest.mark.parametrize(
    ("text", "least_words", "expected"),
    [
        ("no " * 24, MIN_LOOP_WORDS, True),
        ("no " * 23, MIN_LOOP_WORDS, False),
        ("And then no no no no no no no no", 8, True),
        ("And then no no no no no no no", 8, False),
        ("one two three one two three one two three", 8, False),
        ("", 8, False),
    ],
)
def test_a_loop_is_seen_from_as_many_words_as_asked_for(text: str, least_words: float, expected: bool) -> None:
    assert has_loop(text, least_words) is expected
