"""From windows to samples and back to the file's timeline."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.speech import a_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Span
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.speech import (
    Stretch,
    has_context,
    on_file_timeline,
    speech_samples,
    stretches,
    within_core,
)


@given(
    st.lists(st.integers(0, 16_000 * 300), min_size=2, max_size=20, unique=True),
    st.sampled_from([0.5, 1.0, 1.25, 1.5, 2.0]),
    st.integers(0, 16_000 * 36_000),
)
def test_spans_in_seconds_come_back_as_the_very_samples_they_were_found_at(
    edges: list[int], speed: float, first_sample: int
) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    found = [Stretch(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    start_s = first_sample / SAMPLE_RATE_HZ
    spans = [Span(*(start_s + edge / SAMPLE_RATE_HZ * speed for edge in (s.start, s.end))) for s in found]
    window = replace(a_window(speech=spans, start_s=start_s, speed=speed), pcm=np.zeros(16_000 * 300, np.int16))
    assert stretches(window) == tuple(found)


def test_spans_without_a_sample_are_left_out() -> None:
    assert stretches(a_window(seconds=1, speech=[Span(0.5, 0.5), Span(1.0, 3.0)])) == ()


def test_samples_are_the_speech_alone_scaled_to_one() -> None:
    pcm = np.array([0, 16384, -32768, 7, 32767, 1], np.int16)
    samples = speech_samples(a_window(pcm=pcm), [Stretch(1, 3), Stretch(4, 5)])
    assert samples.dtype == np.float32
    assert samples.tolist() == [0.5, -1.0, 32767 / 32768]


def test_times_move_to_the_file_and_end_with_the_windows_audio() -> None:
    window = a_window(start_s=100.0, seconds=20.0, speed=2.0, channel=1)
    segment = Segment(1.0, 9.0, " a b", words=(Word(1.0, 2.0, " a", 0.9), Word(8.5, 12.0, " b", 0.8)))
    moved = on_file_timeline(segment, window)
    assert (moved.start_s, moved.end_s, moved.channel) == (102.0, 118.0, 1)
    assert [(w.start_s, w.end_s) for w in moved.words] == [(102.0, 104.0), (117.0, 120.0)]


@pytest.mark.parametrize(
    ("core", "expected"),
    [(Span(0, 10), False), (Span(0, 9), True), (Span(1, 10), True), (Span(0.005, 9.995), False)],
    ids=["all its own", "speech of the next", "speech of the one before", "rounding"],
)
def test_a_window_cut_through_speech_is_known_by_the_speech_outside_its_core(core: Span, expected: bool) -> None:
    assert has_context(a_window(seconds=10, core=core)) is expected


def phrase(*words: tuple[float, float, str]) -> Segment:
    made = tuple(Word(start, end, text, 1.0) for start, end, text in words)
    return Segment(made[0].start_s, made[-1].end_s, "".join(w.text for w in made), words=made)


def test_a_word_belongs_to_the_core_that_holds_its_midpoint() -> None:
    heard = phrase((8.0, 9.0, " one"), (9.4, 10.4, " two"), (9.6, 10.6, " three"), (11.0, 12.0, " four"))
    before = within_core(heard, Span(0, 10))
    after = within_core(heard, Span(10, 20))
    assert before is not None
    assert after is not None
    assert (before.text, before.start_s, before.end_s) == (" one two", 8.0, 10.4)
    assert (after.text, after.start_s, after.end_s) == (" three four", 9.6, 12.0)


def test_a_phrase_wholly_outside_the_core_is_gone_and_one_inside_is_untouched() -> None:
    inside = phrase((1, 2, " in"))
    assert within_core(inside, Span(0, 10)) is inside
    assert within_core(phrase((11, 12, " out")), Span(0, 10)) is None
