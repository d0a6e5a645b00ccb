"""The pace of a backlog. What it is made of: `tests/unit/cli/test_submit_backlog.py`."""

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.tools.backlog import pace


def moments_s(clock: ManualClock, rate_per_s: float | None, count: int, work_s: float = 0.0) -> list[float]:
    """When each of `count` requests was sent, if sending takes `work_s`."""
    begun, wait, found = clock.now(), pace(clock, rate_per_s), []
    for _ in range(count):
        wait()
        found.append(clock.now() - begun)
        clock.advance(work_s)
    return found


def test_requests_are_sent_at_an_even_rate() -> None:
    assert moments_s(ManualClock(), 4.0, 4) == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_time_that_sending_takes_is_part_of_the_pause() -> None:
    assert moments_s(ManualClock(), 4.0, 3, work_s=0.1) == pytest.approx([0.0, 0.25, 0.5])


def test_a_service_that_was_slow_is_not_flooded_afterwards() -> None:
    clock = ManualClock()
    wait = pace(clock, 4.0)
    wait()
    clock.advance(10.0)
    begun = clock.now()
    wait()
    wait()
    assert clock.now() - begun == pytest.approx(0.25)


def test_without_a_rate_nothing_waits() -> None:
    assert moments_s(ManualClock(), None, 3) == [0.0, 0.0, 0.0]
