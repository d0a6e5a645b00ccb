"""Percent and time to go, by a clock that only the test moves."""

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability.progress import ProgressTracker


def test_nothing_is_known_before_the_first_step() -> None:
    progress = ProgressTracker(ManualClock(), 600.0).now()

    assert (progress.percent, progress.remaining_s, progress.rate, progress.done_s) == (0.0, None, None, 0.0)


def test_the_first_step_gives_a_percentage_but_no_estimate() -> None:
    """It carries the wait for the engine and whatever else the job began with."""
    clock = ManualClock()
    tracker = ProgressTracker(clock, 600.0)
    clock.advance(100)
    tracker.advance(60.0)

    progress = tracker.now()

    assert (progress.percent, progress.remaining_s) == (10.0, None)
    clock.advance(100)
    assert tracker.now().rate is None


def test_the_estimate_comes_from_the_steps_after_the_first() -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, 600.0)
    clock.advance(100)
    tracker.advance(60.0)
    clock.advance(6)
    tracker.advance(120.0)

    progress = tracker.now()

    assert progress.rate == 10.0
    assert progress.remaining_s == 48.0


def test_steps_too_close_together_give_no_estimate() -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, 600.0)
    tracker.advance(60.0)
    clock.advance(0.5)
    tracker.advance(120.0)

    assert tracker.now().remaining_s is None


def test_the_estimate_grows_while_nothing_moves() -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, 600.0)
    tracker.advance(60.0)
    clock.advance(6)
    tracker.advance(120.0)
    clock.advance(6)

    assert tracker.now().remaining_s == 96.0


def test_the_rate_follows_a_change_of_load() -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, 100_000.0)
    for step in range(200):
        clock.advance(10 if step < 100 else 1)
        tracker.advance(10.0 * (step + 1))

    assert tracker.now().rate == pytest.approx(10.0)


@pytest.mark.parametrize("audio_s", [None, 0.0])
def test_without_a_known_length_there_is_neither_percentage_nor_estimate(audio_s: float | None) -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, audio_s)
    tracker.advance(60.0)
    clock.advance(6)
    tracker.advance(120.0)

    progress = tracker.now()

    assert (progress.percent, progress.remaining_s) == (None, None)
    assert progress.rate == 10.0


def test_a_file_longer_than_it_said_ends_at_a_hundred_percent() -> None:
    clock = ManualClock()
    tracker = ProgressTracker(clock, 100.0)
    tracker.advance(60.0)
    clock.advance(6)
    tracker.advance(130.0)

    progress = tracker.now()

    assert (progress.percent, progress.remaining_s) == (100.0, 0.0)


def test_going_back_is_ignored() -> None:
    tracker = ProgressTracker(ManualClock(), 100.0)
    tracker.advance(60.0)
    tracker.advance(30.0)

    assert tracker.now().done_s == 60.0
