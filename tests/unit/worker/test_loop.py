"""The worker's loop: slots, running alone, pauses, idling."""

import threading
from typing import Any

import pytest

from tests.unit.worker.rig import DEADLINE_S, MakeRig, settle
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, WorkerBroken
from transcriber_worker.observability.labels import Ending, WorkerState


def test_all_that_is_queued_is_done_and_an_idle_worker_leaves(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.publish("a", "b", "c", "d", "e")

    rig.run()

    assert sorted(text for text, _ in rig.attempts.attended) == ["a", "b", "c", "d", "e"]
    assert rig.bench.queue_is_empty()
    assert rig.health.state is WorkerState.STOPPED
    assert rig.jobs_ended == 5


def test_no_more_jobs_than_slots_run_at_once_and_the_slots_are_used(make_rig: MakeRig) -> None:
    together = threading.Barrier(3)

    def meet(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        together.wait(DEADLINE_S)
        return settle(delivery, cancel, alone)

    rig = make_rig(meet, slots=3)
    rig.publish(*"abcdef")

    rig.run()

    assert rig.attempts.most_at_once == 3


def test_the_age_of_the_oldest_message_counts_from_its_publication(make_rig: MakeRig) -> None:
    seen: list[float | None] = []

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        seen.append(rig.metrics.registry.get_sample_value("transcriber_oldest_message_age_seconds"))
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1)
    rig.publish("old")
    rig.bench.clock.advance(500.0)
    rig.publish("young")

    rig.run()

    assert seen[0] == pytest.approx(500.0, abs=1.0)
    assert (seen[1] or 0.0) < 100.0
    assert rig.metrics.registry.get_sample_value("transcriber_oldest_message_age_seconds") == 0.0


def test_a_suspect_runs_alone_and_the_others_after_it(make_rig: MakeRig) -> None:
    seen_beside: list[int] = []

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        if delivery.message.body == b"suspect":
            if not alone:
                return Ending.MUST_RUN_ALONE
            seen_beside.append(rig.attempts.now)
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=4)
    rig.publish("suspect", *"abcdefgh")

    rig.run()

    assert seen_beside == [1]
    assert ("suspect", True) in rig.attempts.attended
    assert len(rig.attempts.attended) == 10


def test_a_job_held_elsewhere_is_looked_at_again_without_a_slot(make_rig: MakeRig) -> None:
    looks: list[str] = []

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        text = delivery.message.body.decode()
        looks.append(text)
        return Ending.HELD_ELSEWHERE if looks.count("held") < 3 and text == "held" else settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1)
    rig.publish("held", "other")

    rig.run()

    assert looks.count("held") == 3
    assert looks.index("other") < len(looks) - 1, "the only slot was not kept by the job held elsewhere"


def test_an_outage_pauses_the_intake_and_ends_by_itself(make_rig: MakeRig) -> None:
    states: list[WorkerState] = []
    left = [3]

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        states.append(rig.health.state)
        left[0] -= 1
        return Ending.ENVIRONMENT_DOWN if left[0] >= 0 else settle(delivery, cancel, alone)

    rig = make_rig(script, slots=2)
    rig.publish("a", "b", "c")

    rig.run()

    assert {text for text, _ in rig.attempts.attended} == {"a", "b", "c"}
    assert states[2:4] == [WorkerState.PAUSED, WorkerState.PAUSED], "one job at a time tries whether it is over"
    assert states[-1] is WorkerState.RUNNING
    assert rig.health.readiness().body.get("down") is None
    assert rig.bench.queue_is_empty()


@pytest.mark.parametrize("meanwhile", ["nothing", "answers"])
def test_an_outage_is_one_pause_whatever_gets_through_meanwhile(make_rig: MakeRig, meanwhile: str) -> None:
    """With scratch full, jobs that were done before are still answered: that shows nothing of the disk."""
    tries = [0]

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        if delivery.message.body == b"answer":
            delivery.settle()
            return Ending.ALREADY_DONE
        tries[0] += 1
        if tries[0] == 4 and meanwhile == "answers":
            rig.publish("answer", "answer")
        return Ending.ENVIRONMENT_DOWN if tries[0] < 8 else settle(delivery, cancel, alone)

    rig = make_rig(script, slots=2)
    rig.attempts.down = PauseReason.SCRATCH
    rig.publish("a")

    rig.run()

    assert tries[0] >= 8
    pauses = rig.metrics.registry.get_sample_value("transcriber_intake_pauses_total", {"reason": "scratch"})
    assert pauses == 1
    assert rig.health.readiness().body.get("down") is None


def test_a_broker_that_is_down_pauses_the_intake(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig()
    receive, failures = rig.bench.broker.receive, [2]

    def flaky(limit: int, wait_s: float) -> Any:
        if failures[0] > 0:
            failures[0] -= 1
            raise EnvironmentDown("the spool's disk is gone")
        return receive(limit, wait_s)

    monkeypatch.setattr(rig.bench.broker, "receive", flaky)
    rig.publish("a")

    rig.run()

    assert rig.attempts.attended == [("a", False)]
    assert rig.health.readiness().body.get("down") is None


def test_a_broken_worker_stops_with_nothing_settled(make_rig: MakeRig) -> None:
    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        raise WorkerBroken("the context is dead")

    rig = make_rig(script)
    rig.publish("a")

    with pytest.raises(WorkerBroken):
        rig.run()

    assert not rig.bench.queue_is_empty()


def test_a_bug_outside_every_bound_does_not_end_the_worker(make_rig: MakeRig) -> None:
    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        if delivery.message.body == b"bug":
            raise ZeroDivisionError
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1)
    rig.publish("bug", "a")

    rig.run()

    assert ("a", False) in rig.attempts.attended


def test_and_its_message_is_given_back(make_rig: MakeRig) -> None:
    """On a broker without leases nothing else brings it back, nor lets anything behind it be committed."""
    tries = []

    def script(delivery: Delivery, cancel: CancelToken, alone: bool) -> Ending:
        tries.append(delivery)
        if len(tries) == 1:
            raise ZeroDivisionError
        return settle(delivery, cancel, alone)

    rig = make_rig(script, slots=1, look_again_s=0.1)
    rig.publish("bug")

    rig.run()

    assert len(tries) == 2
    assert rig.bench.queue_is_empty()
