"""The worker's loop, told to stop: what is finished, what is handed back, and when."""

import threading

import pytest

from tests.unit.worker.rig import DEADLINE_S, MakeRig, settle
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack
from transcriber_worker.observability.labels import Ending, WorkerState
from transcriber_worker.pipeline.progress import JobProgress


def test_sigterm_lets_a_job_finish_within_the_grace(make_rig: MakeRig) -> None:
    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        rig.stop.stop("SIGTERM")
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1)
    rig.publish("a", "b")

    rig.run()

    assert rig.attempts.attended == [("a", False)]
    assert rig.bench.delivery().message.body == b"b"


@pytest.mark.parametrize(("grace_s", "signals"), [(0.0, 1), (1e9, 2)], ids=["grace over", "second signal"])
def test_what_can_not_finish_is_handed_back(make_rig: MakeRig, grace_s: float, signals: int) -> None:
    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        for _ in range(signals):
            rig.stop.stop("SIGTERM")
        told = threading.Event()
        cancel.on_cancel(told.set)
        assert told.wait(DEADLINE_S)
        with pytest.raises(HandBack):
            cancel.raise_if_cancelled()
        delivery.give_back()
        return Ending.HANDED_BACK

    rig = make_rig(script, slots=1, drain_s=grace_s)
    rig.publish("a")

    rig.run()

    assert rig.bench.delivery().message.body == b"a"


def test_a_job_that_learns_while_draining_that_it_can_t_fit_is_handed_back_then(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands still, and the grace never ends: only the job's own estimate can tell."""
    looked = threading.Event()

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        told = threading.Event()
        cancel.on_cancel(told.set)
        rig.stop.stop("SIGTERM")
        assert looked.wait(DEADLINE_S)
        progress.heard(1.0)
        rig.bench.clock.advance(100.0)
        progress.heard(2.0)
        assert told.wait(DEADLINE_S)
        delivery.give_back()
        return Ending.HANDED_BACK

    rig = make_rig(script, slots=1, drain_s=3600.0)
    rig.attempts.progress = progress = JobProgress(rig.bench.clock, 1e9, lambda _: None)
    progress.begin(audio_s=100_000.0, offset_s=0.0)
    decided = rig.worker._decided

    def told_of(running: int, left_s: float) -> bool:
        looked.set()
        return decided(running, left_s)

    monkeypatch.setattr(rig.worker, "_decided", told_of)
    rig.publish("a")

    rig.run()

    assert rig.bench.delivery().message.body == b"a"


def test_waiting_messages_are_handed_back_when_the_worker_drains(make_rig: MakeRig) -> None:
    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        rig.stop.stop("SIGTERM")
        return Ending.HELD_ELSEWHERE

    rig = make_rig(script, slots=1)
    rig.publish("a")

    rig.run()

    assert rig.bench.delivery().message.body == b"a"


def test_a_draining_worker_never_says_it_is_ready_again(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes back while the last job finishes; the intake stays closed all the same."""
    seen: list[WorkerState] = []

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        if delivery.message.body == b"outage" and not seen:
            seen.append(rig.health.state)
            return Ending.ENVIRONMENT_DOWN
        rig.stop.stop("SIGTERM")
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1)
    rig.publish("outage")
    entered: list[WorkerState] = []
    enter = rig.health.enter

    def told(state: WorkerState) -> None:
        entered.append(state)
        enter(state)

    monkeypatch.setattr(rig.health, "enter", told)

    rig.run()

    assert entered[-2:] == [WorkerState.DRAINING, WorkerState.STOPPED]
    assert WorkerState.RUNNING not in entered[entered.index(WorkerState.DRAINING) :]
