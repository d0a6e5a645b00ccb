"""Clips out of a long recording, and a long one out of short ones."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Span
from transcriber_worker.tools.bench.clips import MAX_CLIP_S, MIN_CLIP_S, clips_of, put_together
from transcriber_worker.tools.bench.recordings import Speech


def a_speech(*spans: tuple[float, float], pauses: tuple[tuple[float, float], ...] = ()) -> Speech:
    end_s = max((end for _, end in spans), default=0.0)
    pcm = np.zeros(round(end_s * SAMPLE_RATE_HZ), np.int16)
    return Speech(pcm, tuple(Span(*span) for span in spans), tuple(Span(*pause) for pause in pauses))


def talk(seconds: float, every_s: float = 3.0) -> Speech:
    """One stretch of speech with a short pause now and then."""
    pauses = tuple((at, at + 0.2) for at in np.arange(every_s, seconds, every_s).tolist())
    return a_speech((0.0, seconds), pauses=pauses)


def test_clips_are_cut_at_pauses_and_come_in_all_lengths() -> None:
    clips = clips_of(talk(600.0), 24)
    assert len(clips) == 24
    assert all(MIN_CLIP_S <= clip.duration_s <= MAX_CLIP_S for clip in clips)
    assert all(clip.end_s % 3.0 == pytest.approx(0.1) for clip in clips)
    assert len({round(clip.duration_s) for clip in clips}) >= 4


def test_clips_hold_all_that_is_said_between_the_first_and_the_last() -> None:
    clips = clips_of(talk(600.0), 24)
    assert clips[0].start_s == 0.0
    assert all(one.end_s == other.start_s for one, other in pairwise(clips))


def test_long_silence_is_in_no_clip() -> None:
    clips = clips_of(a_speech((10.0, 18.0), (60.0, 69.0)), 24)
    assert clips == [Span(9.7, 18.3), Span(59.7, 69.0)]


def test_no_clip_ends_where_the_next_one_could_not_end_at_a_pause() -> None:
    """The pause at 6.0 s is the one that was aimed at; from there on the next ones are too near and too far."""
    speech = a_speech((0.0, 24.0), pauses=((6.0, 6.0), (9.5, 9.5), (21.5, 21.5)))
    assert [clip.end_s for clip in clips_of(speech, 2)] == [9.5, 24.0]


def test_speech_that_never_pauses_is_cut_through() -> None:
    assert [clip.duration_s for clip in clips_of(a_speech((0.0, 40.0)), 24)] == [15.0, 15.0, 10.0]


def test_a_word_alone_between_silences_is_a_short_clip() -> None:
    assert clips_of(a_speech((10.0, 11.0), (60.0, 61.0)), 24) == [Span(9.7, 11.3), Span(59.7, 61.0)]


def test_silence_has_no_clips() -> None:
    assert clips_of(a_speech(), 24) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 30.0), st.floats(0.0, 30.0)), max_size=30), st.integers(1, 24))
def test_whatever_the_pauses_every_clip_has_audio_and_no_two_overlap(
    stretches: list[tuple[float, float]], count: int
) -> None:
    spans, at_s = list[tuple[float, float]](), 0.0
    for spoken_s, silent_s in stretches:
        spans.append((at_s, at_s + spoken_s))
        at_s += spoken_s + silent_s + 0.01
    clips = clips_of(a_speech(*spans), count)
    assert len(clips) <= count
    assert all(0 < clip.duration_s <= MAX_CLIP_S + 1e-6 for clip in clips)
    assert all(one.end_s <= other.start_s for one, other in pairwise(clips))


def noise(seconds: float, value: int) -> Speech:
    return Speech(np.full(round(seconds * SAMPLE_RATE_HZ), value, np.int16), (Span(0.0, seconds),), ())


def test_recordings_are_put_together_whole_until_the_time_is_full() -> None:
    pcm, order = put_together([noise(4.0, 1), noise(6.0, 2), noise(5.0, 3)], 40.0)
    assert order == [0, 1, 2, 1, 2, 0, 2]
    assert 40.0 <= len(pcm) / SAMPLE_RATE_HZ < 50.0
    for value, seconds in ((1, 4.0 * 2), (2, 6.0 * 2), (3, 5.0 * 3)):
        assert np.count_nonzero(pcm == value) == seconds * SAMPLE_RATE_HZ
    runs = np.flatnonzero(np.diff((pcm != 0).astype(int)) == 1)
    assert len(runs) == len(order) - 1, "a pause between any two"


def test_a_recording_that_is_long_enough_is_put_there_once() -> None:
    assert put_together([noise(30.0, 1), noise(1.0, 2)], 20.0)[1] == [0]
