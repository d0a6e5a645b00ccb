"""Where decoded frames go on the file's timeline."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.media.packets import ByteClock
from transcriber_worker.media.placement import JITTER_S, Placed, Placer

FRAME_S = 0.02


def placed(placer: Placer, *timestamps: float | None) -> list[Placed]:
    return [placer.place(timestamp, FRAME_S) for timestamp in timestamps]


def test_frames_in_a_row_are_one_run() -> None:
    placer = Placer(None, 60.0)
    first, second, third = placed(placer, 0.0, 0.02, 0.04)
    assert not first.continues
    assert second.continues
    assert third.continues
    assert placer.end_s == pytest.approx(0.06)


def test_jitter_is_ignored() -> None:
    placer = Placer(None, 60.0)
    frames = placed(placer, 0.0, 0.02 + JITTER_S * 0.9, 0.04 - 0.03)
    assert [frame.continues for frame in frames] == [False, True, True]
    assert placer.gaps_s == 0


def test_a_gap_is_kept() -> None:
    placer = Placer(None, 60.0)
    frame = placed(placer, 0.0, 5.0)[1]
    assert (frame.start_s, frame.continues) == (5.0, False)
    assert frame.gap_s == pytest.approx(4.98)
    assert placer.end_s == pytest.approx(5.02)


def test_an_overlap_is_placed_where_it_belongs_and_never_turns_the_timeline_back() -> None:
    placer = Placer(None, 60.0)
    frame = placed(placer, *[i * FRAME_S for i in range(50)], 0.5)[-1]
    assert (frame.start_s, frame.continues) == (0.5, False)
    assert placer.end_s == pytest.approx(1.0)


def test_a_clock_that_starts_again_is_a_new_count_not_an_overlap() -> None:
    """Chained ogg files, concatenated recordings."""
    placer = Placer(None, 60.0)
    frames = placed(placer, *[i * FRAME_S for i in range(100)], 0.0, 0.02)
    assert frames[-2].start_s == pytest.approx(2.0)
    assert frames[-1].continues
    assert placer.broken_clock == 1
    assert placer.end_s == pytest.approx(2.04)


@pytest.mark.parametrize("timestamp", [None, math.nan, math.inf, -math.inf])
def test_without_a_usable_timestamp_a_frame_follows_the_last(timestamp: float | None) -> None:
    placer = Placer(None, 60.0)
    frames = placed(placer, 0.0, timestamp, timestamp)
    assert [frame.continues for frame in frames] == [False, True, True]
    assert placer.end_s == pytest.approx(0.06)
    assert placer.place(5.0, FRAME_S).start_s == 5.0, "one good timestamp later all is well again"


def test_a_gap_beyond_the_end_that_the_file_states_is_a_broken_clock() -> None:
    placer = Placer(10.0, 3600.0)
    frames = placed(placer, 0.0, 500.0, 500.02)
    assert frames[1].start_s == pytest.approx(0.02)
    assert frames[2].continues
    assert placer.broken_clock == 1


def test_gaps_are_bounded_in_all() -> None:
    placer = Placer(None, 60.0)
    placed(placer, *[i * 20.0 for i in range(50)])
    assert placer.gaps_s <= 60.0
    assert placer.end_s == pytest.approx(50 * FRAME_S + placer.gaps_s)


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=60))
def test_whatever_the_timestamps_the_timeline_grows_and_stays_bounded(timestamps: list[float | None]) -> None:
    placer = Placer(None, 30.0)
    end_s = 0.0
    for timestamp in timestamps:
        frame = placer.place(timestamp, FRAME_S)
        assert frame.start_s <= placer.end_s
        assert placer.end_s >= end_s
        end_s = placer.end_s
    assert end_s <= len(timestamps) * (FRAME_S + JITTER_S) + 30.0 + 1e-6


def test_bytes_that_gave_no_audio_are_time_at_the_rate_of_the_audio_before() -> None:
    """100 bytes hold 0.02 s; 3 damaged packets of 1,000 bytes, counted as one frame each, held 0.2 s each."""
    clock = ByteClock()
    for i in range(50):
        clock.found(i * 100, 100)
        clock.decoded(100, 0.02)
    for i in range(3):
        clock.found(5000 + i * 1000, 1000)
        clock.damaged(1000, 0.02)
    assert clock.lost_s == pytest.approx(3 * (0.2 - 0.02))


def test_bytes_that_the_demuxer_skipped_count_too() -> None:
    clock = ByteClock()
    clock.found(0, 100)
    clock.decoded(100, 0.02)
    clock.found(1100, 100)
    assert clock.lost_s == pytest.approx(0.2)


def test_a_file_without_damage_loses_no_time() -> None:
    clock = ByteClock()
    for i in range(5000):
        clock.found(i * 417, 417)
        clock.decoded(417, 0.026)
    assert clock.lost_s == 0
