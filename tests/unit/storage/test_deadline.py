"""A download's slot is not held for ever."""

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.storage.deadline import Deadline


def test_a_download_within_its_time_goes_on_and_one_beyond_is_charged() -> None:
    clock = ManualClock()
    deadline = Deadline(clock, 60.0)

    clock.advance(60.0)
    deadline.check()

    clock.advance(0.1)
    with pytest.raises(RetryJob, match=r"storage\.download_timeout_s") as raised:
        deadline.check()
    assert raised.value.charged
