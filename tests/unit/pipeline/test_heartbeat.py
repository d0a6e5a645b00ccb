"""The heartbeat: what it renews, and what each failure means."""

import threading
from itertools import pairwise

import pytest

from tests.builders import make_message
from transcriber_worker.brokers.base import Message
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, JobCancelled, LeaseLost
from transcriber_worker.pipeline.heartbeat import Heartbeat


class Leased:
    """A delivery that counts its renewals, or fails them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.extended = 0

    @property
    def message(self) -> Message:
        return make_message()

    def extend(self) -> None:
        self.extended += 1
        if self.error is not None:
            raise self.error

    def settle(self) -> None: ...

    def give_back(self, delay_s: float = 0.0) -> None: ...


class Told:
    """What the heartbeat told."""

    def __init__(self) -> None:
        self.renewed = 0
        self.failures: list[Exception] = []

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(1.0, ManualClock(), self._one_renewed, self.failures.append)

    def _one_renewed(self) -> None:
        self.renewed += 1


def beat(heartbeat: Heartbeat) -> None:
    heartbeat.extend_messages()
    heartbeat.renew_claims()


def test_it_renews_the_message_and_the_claim_while_the_block_lasts() -> None:
    told, delivery, renewals = Told(), Leased(), []
    heartbeat = told.heartbeat()

    with heartbeat.keeping(delivery, CancelToken(), lambda: renewals.append(1)):
        beat(heartbeat)
        beat(heartbeat)
    beat(heartbeat)

    assert (delivery.extended, len(renewals), told.renewed) == (2, 2, 4)


def test_a_claim_is_renewed_while_the_broker_does_not_answer() -> None:
    """Else another worker would take the job for one whose worker died."""
    told, renewals, stuck, go_on = Told(), [], threading.Event(), threading.Event()
    heartbeat = told.heartbeat()

    class Stuck(Leased):
        def extend(self) -> None:
            stuck.set()
            go_on.wait()

    with heartbeat.keeping(Stuck(), CancelToken(), lambda: renewals.append(1)):
        heartbeat.start()
        assert stuck.wait(30)
        while len(renewals) < 3:
            pass
        go_on.set()
        heartbeat.stop()

    assert told.failures == []


@pytest.mark.parametrize("error", [LeaseLost(), JobCancelled()])
def test_a_lost_lease_and_a_cancellation_stop_the_job(error: Exception) -> None:
    told, cancel = Told(), CancelToken()
    heartbeat = told.heartbeat()

    with heartbeat.keeping(Leased(error), cancel):
        beat(heartbeat)

    with pytest.raises(type(error)):
        cancel.raise_if_cancelled()


@pytest.mark.parametrize("error", [EnvironmentDown("the store does not answer"), ZeroDivisionError()])
def test_an_outage_or_a_bug_stops_neither_the_job_nor_the_others(error: Exception) -> None:
    told, cancel, other = Told(), CancelToken(), Leased()
    heartbeat = told.heartbeat()

    with heartbeat.keeping(Leased(error), cancel), heartbeat.keeping(other, CancelToken()):
        beat(heartbeat)

    assert not cancel.cancelled
    assert other.extended == 1
    assert told.failures == [error]


def test_a_stopped_job_is_not_renewed_any_more() -> None:
    told, delivery, cancel = Told(), Leased(), CancelToken()
    heartbeat = told.heartbeat()
    cancel.cancel(LeaseLost())

    with heartbeat.keeping(delivery, cancel):
        beat(heartbeat)

    assert delivery.extended == 0


class OnlyMessages(ManualClock):
    """On which the thread that renews claims stands still."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait() if threading.current_thread().name == "heartbeat-claims" else super().wait(event, seconds)


def test_a_slow_beat_does_not_put_off_the_next_one() -> None:
    """A store that answers nothing for a while would else cost the claims that the outage had spared."""
    clock, began = OnlyMessages(), []
    heartbeat = Heartbeat(20.0, clock, lambda: None, lambda error: None)

    class Slow(Leased):
        def extend(self) -> None:
            began.append(clock.monotonic())
            clock.advance(15.0)

    with heartbeat.keeping(Slow(), CancelToken()):
        heartbeat.start()
        while len(began) < 4:
            pass
        heartbeat.stop()

    assert [later - earlier for earlier, later in pairwise(began[:4])] == [20.0, 20.0, 20.0]


def test_its_thread_beats_until_it_is_stopped() -> None:
    told, delivery = Told(), Leased()
    heartbeat = told.heartbeat()

    with heartbeat.keeping(delivery, CancelToken()):
        heartbeat.start()
        while delivery.extended < 3:
            pass
        heartbeat.stop()

    assert told.renewed >= 3
