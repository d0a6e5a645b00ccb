import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transcript.transcripts import spoken
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.transcript.merging import MAX_MERGED_CHARS, MAX_MERGED_S, merged, weighted_mean

GAP_S = 0.3
FIRST = Segment(1.0, 3.0, " And so, my fellow Americans,")
SECOND = Segment(3.2, 6.0, " ask not what your country can do for you.")


def texts(*segments: Segment) -> list[str]:
    return [segment.text for segment in merged(segments, GAP_S)]


def test_fragments_of_a_sentence_become_one_segment() -> None:
    (whole,) = merged([FIRST, SECOND], GAP_S)
    assert whole.text == "And so, my fellow Americans, ask not what your country can do for you."
    assert (whole.start_s, whole.end_s) == (1.0, 6.0)


def test_several_fragments_are_put_together() -> None:
    assert texts(*(Segment(i, i + 1, f" part{i}") for i in range(4))) == ["part0 part1 part2 part3"]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(replace(FIRST, text=" And so it ends."), id="a sentence has ended"),
        pytest.param(replace(FIRST, end_s=2.89), id="the gap is too wide"),
        pytest.param(replace(FIRST, channel=1), id="somebody else speaks"),
        pytest.param(replace(FIRST, flags=("low_confidence",)), id="only one of them is doubted"),
        pytest.param(replace(FIRST, start_s=6.0 - MAX_MERGED_S - 0.01), id="the whole would be too long in time"),
        pytest.param(replace(FIRST, text="x" * (MAX_MERGED_CHARS - 40)), id="the whole would be too long in text"),
    ],
)
def test_segments_stay_apart_where(before: Segment) -> None:
    assert merged([before, SECOND], GAP_S) == [before, SECOND]


def test_the_bounds_themselves_are_allowed() -> None:
    long_ago = replace(FIRST, start_s=6.0 - MAX_MERGED_S, end_s=3.2 - GAP_S)
    assert len(texts(long_ago, SECOND)) == 1


def test_confidence_is_weighted_by_duration() -> None:
    one = replace(FIRST, avg_logprob=-0.9, no_speech_prob=0.2, compression_ratio=1.0, temperature=0.0)
    other = replace(SECOND, start_s=3.0, avg_logprob=-0.4, no_speech_prob=0.7, compression_ratio=2.0, temperature=0.4)
    (whole,) = merged([one, other], GAP_S)
    assert whole.avg_logprob == pytest.approx((-0.9 * 2 - 0.4 * 3) / 5)
    assert whole.no_speech_prob == pytest.approx((0.2 * 2 + 0.7 * 3) / 5)
    assert whole.compression_ratio == pytest.approx((1.0 * 2 + 2.0 * 3) / 5)
    assert whole.temperature == 0.4


def test_what_is_said_in_two_languages_stays_apart() -> None:
    one, other = replace(FIRST, language="en"), replace(SECOND, language="de")
    assert merged([one, other], GAP_S) == [one, other]


def test_words_stay_the_text() -> None:
    one, other = spoken("we went to", 0.0), spoken("the sea", 1.6)
    bare = replace(other, words=(replace(other.words[0], text="the"), other.words[1]))
    for second in (other, bare):
        (whole,) = merged([one, second], GAP_S)
        assert "".join(word.text for word in whole.words) == " " + whole.text == " we went to the sea"


def test_unspaced_words_stay_unspaced() -> None:
    one = Segment(0, 1, "你好，", words=(Word(0, 1, "你好，", 1.0),))
    other = Segment(1, 2, "世界", words=(Word(1, 2, "世界", 1.0),))
    (whole,) = merged([one, other], GAP_S)
    assert whole.text == "".join(word.text for word in whole.words) == "你好，世界"


def test_a_mean_leaves_out_what_is_no_number() -> None:
    assert weighted_mean([(math.nan, 5.0), (-0.5, 1.0), (-math.inf, 1.0)]) == -0.5
    assert weighted_mean([(math.nan, 5.0)]) is None
    assert weighted_mean([(1.0, 0.0), (3.0, 0.0)]) == 2.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.sampled_from(["go on", "stop.", "and,"])), max_size=30))
def test_merging_keeps_every_word_and_the_order(pieces: list[tuple[float, float, str]]) -> None:
    segments, now_s = [], 0.0
    for duration_s, gap_s, text in pieces:
        segments.append(Segment(now_s, now_s + duration_s, text))
        now_s += duration_s + gap_s
    result = merged(segments, GAP_S)
    assert " ".join(s.text for s in result).split() == " ".join(s.text for s in segments).split()
    assert all(one.end_s <= other.start_s for one, other in pairwise(result))
    assert all(s.end_s - s.start_s <= MAX_MERGED_S and len(s.text) <= MAX_MERGED_CHARS for s in result)
