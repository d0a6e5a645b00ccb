"""How a channel's timeline is cut into windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.speech_spans import CHUNK_SAMPLES, SampleSpan, SpeechSpans, SpeechThresholds
from transcriber_worker.media.windows import CONTEXT_SAMPLES, MIN_PAUSE_CHUNKS, Cut, WindowCutter

RATE = 16_000
THRESHOLDS = SpeechThresholds()


def per_second(*parts: tuple[float, float]) -> list[float]:
    """Probabilities: (seconds, probability) one after the other."""
    return [p for seconds, p in parts for _ in range(round(seconds * RATE / CHUNK_SAMPLES))]


def spans_of(probabilities: list[float], thresholds: SpeechThresholds = THRESHOLDS) -> tuple[list[SampleSpan], int]:
    spans = SpeechSpans(thresholds)
    found = spans.feed(probabilities)
    total = (len(probabilities) - 1) * CHUNK_SAMPLES + 100
    return found + spans.finish(total), total


def cut(
    probabilities: list[float],
    max_s: float,
    thresholds: SpeechThresholds = THRESHOLDS,
    piece: int = 10**9,
    *,
    span_s: float | None = None,
) -> list[Cut]:
    """Cut as the reader does: `piece` probabilities at a time; packed where windows may span more than their speech."""
    spans = SpeechSpans(thresholds)
    cutter = WindowCutter(WindowLimits(max_s, span_s or max_s), thresholds.silence)
    cuts: list[Cut] = []
    for at in range(0, len(probabilities) - 1, piece):
        part = probabilities[at : min(at + piece, len(probabilities) - 1)]
        final = spans.feed(part)
        needed = cutter.needed_from
        new = cutter.advance(part, final, spans.going_on, spans.certain_until)
        assert all(window.pcm[0] >= needed for window in new), "samples that were let go"
        cuts += new
    total = (len(probabilities) - 1) * CHUNK_SAMPLES + 100
    final = spans.feed(probabilities[-1:]) + spans.finish(total)
    needed = cutter.needed_from
    new = cutter.advance(probabilities[-1:], final, None, total, ended=True)
    assert all(window.pcm[0] >= needed for window in new), "samples that were let go"
    return cuts + new


def seconds(span: SampleSpan) -> tuple[float, float]:
    return span[0] / RATE, span[1] / RATE


def test_a_file_that_fits_is_one_window_with_exactly_its_speech() -> None:
    probabilities = per_second((3, 0.0), (10, 0.9), (4, 0.0), (5, 0.9), (3, 0.0))
    spans, total = spans_of(probabilities)
    (window,) = cut(probabilities, 300.0)
    assert window.core == (0, total)
    assert list(window.speech) == spans
    assert window.pcm == (spans[0][0], spans[-1][1]), "silence around the speech is not carried"


def test_silence_makes_no_window() -> None:
    assert cut(per_second((100, 0.1)), 29.5) == []


def test_the_cut_lies_in_the_longest_pause_of_the_last_stretch() -> None:
    """Bound at 29.5 s, stretch from 19.5 s: the pause of 0.9 s at 22 s wins over 0.5 s at 27 s and 1.5 s at 10 s."""
    probabilities = per_second((10, 0.9), (1.5, 0.0), (10.5, 0.9), (0.9, 0.0), (4.1, 0.9), (0.5, 0.0), (20, 0.9))
    windows = cut(probabilities, 29.5)
    assert seconds(windows[0].core)[1] == pytest.approx(22.45, abs=0.1)
    assert windows[0].pcm[1] == windows[0].core[1] == windows[1].core[0] == windows[1].pcm[0]


def test_speech_without_a_pause_is_cut_where_it_is_least_likely_with_context_on_both_sides() -> None:
    probabilities = per_second((25, 0.9), (0.1, 0.6), (30, 0.9))
    first, second = cut(probabilities, 29.5)[:2]
    at = first.core[1]
    assert at / RATE == pytest.approx(25.0, abs=0.1)
    assert first.pcm[1] == at + CONTEXT_SAMPLES
    assert second.core[0] == at
    assert second.pcm[0] == at - CONTEXT_SAMPLES
    assert first.pcm[1] - first.pcm[0] <= 29.5 * RATE


def test_where_the_bound_falls_into_silence_all_the_speech_before_it_is_one_window() -> None:
    """Though of that silence only half a second lies before the bound, and a pause of 1.5 s does."""
    probabilities = per_second((20.5, 0.9), (1.5, 0.0), (6.5, 0.9), (30, 0.0), (5, 0.9))
    first, second = cut(probabilities, 29.5)
    assert seconds(first.pcm) == pytest.approx((0.0, 28.9), abs=0.1)
    assert seconds(second.pcm) == pytest.approx((58.1, 63.4), abs=0.2)
    assert first.core[1] == second.core[0]


def test_slabs_look_for_a_pause_in_their_last_minute() -> None:
    probabilities = per_second((230, 0.9), (1.8, 0.0), (15, 0.9), (1.2, 0.0), (200, 0.9))
    first = cut(probabilities, 300.0)[0]
    assert seconds(first.core)[1] == pytest.approx(247.4, abs=0.1)


def spoken_s(window: Cut) -> float:
    return sum(high - low for low, high in window.speech) / RATE


def packed(*parts: tuple[float, float]) -> list[Cut]:
    return cut(per_second(*parts), 29.5, span_s=118.0)


def test_stretches_of_speech_far_apart_share_a_window_where_pauses_between_them_are_not_heard() -> None:
    """Four of about 4.8 s with their padding, 20 s apart: 19 s of speech in 79 s of audio."""
    parts = ((4, 0.9), (20, 0.0)) * 3 + ((4, 0.9), (3, 0.0))
    (window,) = packed(*parts)
    assert len(window.speech) == 4
    assert spoken_s(window) == pytest.approx(18.8, abs=0.3)
    assert len(cut(per_second(*parts), 29.5)) == 2


def test_a_packed_window_spans_no_more_than_allowed() -> None:
    windows = packed(*((1, 0.9), (30, 0.0)) * 8)
    assert [len(window.speech) for window in windows] == [4, 4]
    assert all(window.pcm[1] - window.pcm[0] <= 118 * RATE for window in windows)


def test_packed_windows_end_at_a_pause_that_will_do_near_the_bound() -> None:
    """0.4 s at 28 s, though 0.9 s at 22 s is longer and 0.2 s at 29 s is later."""
    speech = (20, 0.9), (0.9, 0.0), (7.1, 0.9), (0.4, 0.0), (0.6, 0.9), (0.2, 0.0), (20, 0.9)
    assert seconds(packed(*speech)[0].core)[1] == pytest.approx(28.2, abs=0.1)


def test_packed_windows_prefer_a_pause_further_back_to_a_gap_within_a_sentence() -> None:
    """0.5 s at 21 s, though 0.2 s at 28 s is later; where no pause lasts 0.3 s close by, the longest is taken."""
    speech = (20, 0.9), (0.9, 0.0), (7.1, 0.9), (0.2, 0.0), (20, 0.9)
    assert seconds(packed(*speech)[0].core)[1] == pytest.approx(20.45, abs=0.1)


def test_packed_speech_without_a_pause_is_cut_close_to_the_bound() -> None:
    first, second = packed((21, 0.9), (0.1, 0.5), (5.9, 0.9), (0.1, 0.6), (30, 0.9))[:2]
    assert first.core[1] / RATE == pytest.approx(27.0, abs=0.1)
    assert first.pcm[1] - second.pcm[0] == 2 * CONTEXT_SAMPLES


def test_the_bound_counts_speech_only() -> None:
    """10.4 s of speech with its padding, half a minute of silence, 16.4 s up to the dip, a second of context."""
    first = packed((10, 0.9), (30, 0.0), (16, 0.9), (0.1, 0.7), (40, 0.9))[0]
    assert spoken_s(first) == pytest.approx(10.4 + 16.4 + 1.0, abs=0.2)


def test_pauses_within_speech_are_told() -> None:
    """0.09 s is too short to be one; the padding on both sides of the speech counts as pauses, too."""
    (window,) = packed((1, 0.0), (5, 0.9), (0.5, 0.2), (2, 0.9), (0.09, 0.0), (3, 0.9), (1, 0.0), (2, 0.9), (5, 0.0))
    assert [seconds(pause) for pause in window.pauses] == [
        pytest.approx(bounds, abs=0.07) for bounds in ((0.6, 1.0), (6.0, 6.5), (11.6, 12.6), (14.6, 15.0))
    ]


probability_rows = st.lists(
    st.tuples(st.integers(1, 120), st.sampled_from([0.0, 0.05, 0.3, 0.36, 0.45, 0.5, 0.7, 0.99])),
    min_size=1,
    max_size=30,
).map(lambda runs: [p for length, p in runs for _ in range(length)])


@settings(max_examples=200, deadline=None)
@given(
    probability_rows,
    st.sampled_from([(8.0, 8.0), (29.5, 29.5), (60.0, 60.0), (10.0, 40.0), (29.5, 118.0), (12.0, 13.0)]),
    st.integers(1, 700),
    st.sampled_from([THRESHOLDS, SpeechThresholds(0.5, 300, 200), SpeechThresholds(0.5, 0, 400)]),
)
def test_windows_hold_all_speech_within_bounds_however_the_probabilities_arrive(
    probabilities: list[float], most: tuple[float, float], piece: int, thresholds: SpeechThresholds
) -> None:
    speech_s, span_s = most
    spans, total = spans_of(probabilities, thresholds)
    windows = cut(probabilities, speech_s, thresholds, piece, span_s=span_s)
    assert windows == cut(probabilities, speech_s, thresholds, span_s=span_s), "cuts depend on how the file arrived"
    covered = np.zeros(total, bool)
    at = 0
    for window in windows:
        assert window.core[0] == at, "cores leave nothing out"
        at = window.core[1]
        assert 0 < window.pcm[1] - window.pcm[0] <= span_s * RATE
        assert spoken_s(window) <= speech_s
        assert window.pcm[1] <= total
        assert window.speech[0][0] == window.pcm[0]
        assert window.speech[-1][1] == window.pcm[1]
        for low, high in window.speech:
            covered[max(low, window.core[0]) : min(high, window.core[1])] = True
        assert list(window.pauses) == pauses_of(probabilities, window, thresholds.silence)
    wanted = np.zeros(total, bool)
    for low, high in spans:
        wanted[low:high] = True
    assert np.array_equal(covered, wanted)


def pauses_of(probabilities: list[float], window: Cut, silence: float) -> list[SampleSpan]:
    """By brute force, sample by sample."""
    quiet = np.repeat(np.array(probabilities) < silence, CHUNK_SAMPLES)
    found: list[SampleSpan] = []
    for low, high in window.speech:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet[low:high].astype(np.int8), [0])))) + low
        found += [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= MIN_PAUSE_CHUNKS * CHUNK_SAMPLES]
    return found
