"""Words into segments."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inference.batched.hearsay import heard
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.batched.phrases import MAX_SEGMENT_COLUMNS, MAX_SEGMENT_S, Said, segments
from transcriber_worker.inference.batched.rows import Recipe
from transcriber_worker.transcript.wording import display_width

ROW = heard()


def evenly(texts: Sequence[str], word_s: float = 0.4) -> tuple[Word, ...]:
    return tuple(Word(at * word_s, (at + 1) * word_s, text, 0.9) for at, text in enumerate(texts))


def spaced(text: str) -> list[str]:
    return [f" {word}" for word in text.split()]


def cut(words: Sequence[Word]) -> list[str]:
    return [segment.text for segment in segments([Said(tuple(words), ROW)], channel=None, mixed=False)]


@pytest.mark.parametrize(
    "sentences",
    [
        [" One two.", " Three four?", " Five!"],
        [" Mr. Smith met Dr. Jones.", " They left."],
        [" J. F. Kennedy spoke.", " So did I.", " Really."],
        [" It cost 3. 50 in the U.S. then.", " Wait..."],
        [" He said: “Go!”", " Then he went."],
        [" wait ... and see", ],
        [" Was ist das?", " Ein Garten.", " Und dann kam z.B. der Regen."],
        [" यह है।", " वह है।"],
    ],
)  # fmt: skip
def test_sentences(sentences: list[str]) -> None:
    assert cut(evenly(spaced("".join(sentences)))) == sentences


def test_scripts_without_spaces_have_sentences_too() -> None:
    words = evenly(["今天", "天气", "很", "好。", "我们", "去", "公园", "吧！", "好"], 0.3)
    assert cut(words) == ["今天天气很好。", "我们去公园吧！", "好"]


def test_a_full_stop_without_a_space_behind_it_is_inside_a_name() -> None:
    assert cut(evenly([" example.", "com", " is", " down."])) == [" example.com is down."]


def test_a_pause_ends_a_segment() -> None:
    words = [Word(0, 1, " one", 0.9), Word(1.9, 2, " two", 0.9), Word(3.0, 4, " three", 0.9)]
    assert cut(words) == [" one two", " three"]


def test_a_sentence_too_long_is_cut_at_a_comma_rather_than_at_a_pause() -> None:
    words = list(evenly(spaced("word " * 30 + "so, " + "word " * 25), 0.5))
    words = words[:40] + [Word(w.start_s + 0.4, w.end_s + 0.4, w.text, 0.9) for w in words[40:]]
    assert [len(text.split()) for text in cut(words)] == [31, 25]


def test_without_a_comma_it_is_cut_at_its_longest_pause() -> None:
    words = list(evenly(spaced("word " * 50), 0.5))
    words = words[:30] + [Word(w.start_s + 0.4, w.end_s + 0.4, w.text, 0.9) for w in words[30:]]
    assert [len(text.split()) for text in cut(words)] == [30, 20]


def test_words_are_not_torn_apart() -> None:
    """A piece without a space before it belongs to the word before, even where most would fit."""
    words = evenly([" a", "-b"] * 40, 0.39)
    assert len(cut(words)) == 2
    assert all(text.startswith(" a") for text in cut(words))


def test_every_segment_has_the_figures_of_its_row() -> None:
    one = heard(logprob=-0.3, no_speech=0.2, compression=1.1, language="en")
    other = heard(logprob=-0.9, no_speech=0.4, compression=2.1, language="de", recipe=Recipe(temperature=0.4))
    words = evenly(spaced("One. Two drei."))
    said = [Said(words[:2], one), Said(words[2:], other)]
    assert segments(said, channel=1, mixed=True) == (
        Segment(0.0, 0.4, " One.", 1, words[:1], -0.3, 0.2, 1.1, 0.0, language="en"),
        Segment(0.4, 0.8, " Two", 1, words[1:2], -0.3, 0.2, 1.1, 0.0, language="en"),
        Segment(words[2].start_s, words[2].end_s, " drei.", 1, words[2:], -0.9, 0.4, 2.1, 0.4, language="de"),
    )


_WORDS = st.sampled_from([" one", " two,", " three.", "-four", " Mr.", "字", "。", " 5.", " a" * 30, " " + "x" * 250])


@settings(deadline=None)
@given(st.lists(st.tuples(_WORDS, st.floats(0, 2), st.floats(0, 30)), max_size=60))
def test_nothing_is_lost_and_no_segment_is_too_long(drawn: list[tuple[str, float, float]]) -> None:
    words, at = [], 0.0
    for text, pause_s, length_s in drawn:
        words.append(Word(at + pause_s, at + pause_s + length_s, text, 0.9))
        at += pause_s + length_s
    made = segments([Said(tuple(words), ROW)], channel=None, mixed=False)
    assert [word for segment in made for word in segment.words] == words
    for segment in made:
        assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)
        if len(segment.words) > 1:
            assert segment.end_s - segment.start_s <= MAX_SEGMENT_S
            assert display_width(segment.text) <= MAX_SEGMENT_COLUMNS
