"""Two windows cut through speech: every word is in one of them, and in one only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.speech import a_window
from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.seams import NO_SEAM, Seam, trimmed

FIRST = a_window(0, seconds=11.0, core=Span(0.0, 10.0))
LAST = a_window(1, start_s=9.0, seconds=11.0, core=Span(10.0, 20.0))
WORD_S = 0.3


def phrases(*words: tuple[float, str]) -> list[Segment]:
    """A segment a word, by its middle."""
    made = [Word(middle_s - WORD_S / 2, middle_s + WORD_S / 2, f" {text}", 0.9) for middle_s, text in words]
    return [Segment(word.start_s, word.end_s, word.text, words=(word,)) for word in made]


def joined(before: list[Segment], behind: list[Segment]) -> str:
    """What both windows came to."""
    first, seam = trimmed(before, FIRST, NO_SEAM)
    last, _ = trimmed(behind, LAST, seam)
    return "".join(segment.text for segment in (*first, *last)).strip()


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (((9.3, "one"), (9.9, "two"), (10.4, "three")), ((9.3, "one"), (9.95, "two"), (10.4, "three"))),
        (((9.3, "one"), (9.9, "two"), (10.4, "three")), ((9.3, "one"), (10.05, "two"), (10.4, "three"))),
        (((9.3, "one"), (10.05, "two"), (10.4, "three")), ((9.3, "one"), (9.95, "Two,"), (10.4, "three"))),
        (((9.3, "one"), (10.05, "two"), (10.4, "three")), ((9.3, "one"), (10.1, "two"), (10.4, "three"))),
    ],
    ids=["in the first", "both took it", "each left it to the other", "in the last"],
)
def test_a_word_on_the_cut_is_there_once_wherever_the_windows_hear_it(
    before: tuple[tuple[float, str], ...], behind: tuple[tuple[float, str], ...]
) -> None:
    assert joined(phrases(*before), phrases(*behind)).casefold().replace(",", "") == "one two three"


@pytest.mark.parametrize("shift_s", [-0.1, 0.0, 0.1])
def test_a_word_said_again_and_again_around_the_cut_is_there_as_often(shift_s: float) -> None:
    said = [(9.3, "no"), (9.87, "no"), (10.12, "no"), (10.6, "yes")]
    later = [(middle_s + shift_s, text) for middle_s, text in said]
    assert joined(phrases(*said), phrases(*later)) == "no no no yes"


def test_a_window_that_heard_nothing_beyond_the_cut_still_tells_of_its_last_word() -> None:
    assert joined(phrases((9.9, "two")), phrases((10.05, "two"))) == "two"


def test_another_word_that_the_window_before_left_over_moves_no_border() -> None:
    assert joined(phrases((9.3, "one"), (10.05, "too")), phrases((9.95, "of"), (10.4, "three"))) == "one three"


@given(st.lists(st.floats(-0.12, 0.12), min_size=16, max_size=16))
def test_times_that_differ_a_little_between_the_windows_lose_no_word_and_double_none(jitters: list[float]) -> None:
    """Different words a quarter of a second apart around the cut, each heard at its own time by each window."""
    words = [(9.1 + at * 0.25, f"w{at}") for at in range(8)]
    before = phrases(*((middle_s + jitter, text) for (middle_s, text), jitter in zip(words, jitters, strict=False)))
    behind = phrases(*((middle_s + jitter, text) for (middle_s, text), jitter in zip(words, jitters[8:], strict=False)))
    assert joined(before, behind).split() == [text for _, text in words]


def test_a_word_without_length_at_the_end_of_the_audio_stays() -> None:
    """The alignment puts what it finds no time for behind all else, and nobody hears it again."""
    word = Word(20.0, 20.0, " end", 0.4)
    kept, seam = trimmed([Segment(20.0, 20.0, " end", words=(word,))], LAST, NO_SEAM)
    assert [segment.text for segment in kept] == [" end"]
    assert seam is NO_SEAM


def test_only_a_cut_through_speech_leaves_a_seam() -> None:
    """The same word said again behind a pause is no word heard twice."""
    _, seam = trimmed(phrases((9.9, "no"), (10.1, "yes")), FIRST, NO_SEAM)
    assert (seam.last, seam.beyond) == (phrases((9.9, "no"))[0].words[0], phrases((10.1, "yes"))[0].words[0])
    assert trimmed(phrases((19.9, "no")), LAST, Seam())[1] == NO_SEAM
