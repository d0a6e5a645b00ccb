"""Alive and ready, by a clock that only the test moves."""

import pytest
from prometheus_client import CollectorRegistry

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import PauseReason
from transcriber_worker.observability.health import HealthState
from transcriber_worker.observability.labels import WorkerState
from transcriber_worker.observability.metrics import Metrics

STALL_S = 600.0


class Watched:
    """A worker's health with the clock and the metrics it was made with."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.health = HealthState(self.clock, STALL_S, Metrics(self.registry))

    def running_with_a_job(self) -> "Watched":
        self.health.enter(WorkerState.RUNNING)
        self.health.job_began("a")
        return self

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"transcriber_{name}", labels)


@pytest.fixture
def worker() -> Watched:
    return Watched()


def test_a_worker_whose_jobs_do_not_move_is_not_alive(worker: Watched) -> None:
    worker.running_with_a_job()

    worker.clock.advance(STALL_S)
    assert worker.health.liveness().ok

    worker.clock.advance(1)
    verdict = worker.health.liveness()
    assert not verdict.ok
    assert verdict.body == {
        "status": "stalled",
        "why": "1 jobs in flight and none has moved for 601 s (limit 600 s)",
        "state": "running",
        "jobs_in_flight": 1,
        "last_progress_s": 601.0,
    }


def test_a_draining_worker_whose_jobs_do_not_move_is_not_alive(worker: Watched) -> None:
    worker.running_with_a_job().health.enter(WorkerState.DRAINING)
    worker.clock.advance(STALL_S + 1)

    assert not worker.health.liveness().ok


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.PAUSED, WorkerState.STOPPED])
def test_while_loading_or_paused_nothing_has_to_move(worker: Watched, state: WorkerState) -> None:
    worker.running_with_a_job().health.enter(state)
    worker.clock.advance(100 * STALL_S)

    assert worker.health.liveness().ok


def test_an_idle_worker_is_alive_however_long(worker: Watched) -> None:
    worker.running_with_a_job().health.job_ended("a")
    worker.clock.advance(100 * STALL_S)

    assert worker.health.liveness().ok
    assert worker.health.liveness().body["status"] == "ok"


def test_a_job_that_comes_after_a_long_idle_time_has_its_whole_time(worker: Watched) -> None:
    worker.health.enter(WorkerState.RUNNING)
    worker.clock.advance(100 * STALL_S)
    worker.health.job_began("a")
    worker.clock.advance(STALL_S - 1)

    assert worker.health.liveness().ok


def test_any_jobs_progress_is_a_sign_of_life(worker: Watched) -> None:
    worker.running_with_a_job().health.job_began("b")
    worker.clock.advance(STALL_S - 1)
    worker.health.progressed()
    worker.clock.advance(STALL_S - 1)

    assert worker.health.liveness().ok


def test_after_a_pause_the_time_to_stall_begins_anew(worker: Watched) -> None:
    worker.running_with_a_job().health.enter(WorkerState.PAUSED)
    worker.clock.advance(10 * STALL_S)
    worker.health.enter(WorkerState.RUNNING)
    worker.clock.advance(STALL_S - 1)

    assert worker.health.liveness().ok


def test_entering_the_same_state_again_is_no_sign_of_life(worker: Watched) -> None:
    worker.running_with_a_job()
    worker.clock.advance(STALL_S)
    worker.health.enter(WorkerState.RUNNING)
    worker.clock.advance(1)

    assert not worker.health.liveness().ok


def test_a_worker_that_moves_again_is_alive_again(worker: Watched) -> None:
    worker.running_with_a_job()
    worker.clock.advance(STALL_S + 1)
    assert not worker.health.liveness().ok

    worker.health.progressed()

    assert worker.health.liveness().ok


@pytest.mark.parametrize("state", list(WorkerState))
def test_a_worker_is_ready_only_while_it_runs(worker: Watched, state: WorkerState) -> None:
    worker.health.enter(state)

    verdict = worker.health.readiness()

    assert verdict.ok == (state is WorkerState.RUNNING)
    assert verdict.body == {"status": "ready" if verdict.ok else "not ready", "state": state.value}


def test_a_paused_worker_says_what_is_down_without_secrets(worker: Watched) -> None:
    worker.health.pause(PauseReason.STORAGE, "https://host.example/p/token answers 503")
    paused = worker.health.readiness()
    worker.health.resume()
    resumed = worker.health.readiness()

    assert (paused.ok, paused.body["down"]) == (False, {"storage": "https://host.example/… answers 503"})
    assert (resumed.ok, resumed.body.get("down")) == (True, None)


def test_the_metrics_say_the_same(worker: Watched) -> None:
    worker.running_with_a_job()
    worker.clock.advance(30)
    worker.health.job_began("b")
    worker.clock.advance(12)

    states = {state: worker.metric("worker_state", state=state) for state in WorkerState}

    assert states == {state: float(state is WorkerState.RUNNING) for state in WorkerState}
    assert worker.metric("jobs_in_flight") == 2
    assert worker.metric("oldest_job_age_seconds") == 42
    assert worker.metric("last_progress_timestamp_seconds") == worker.clock.now() - 12

    worker.health.job_ended("a")
    worker.health.job_ended("b")
    assert (worker.metric("jobs_in_flight"), worker.metric("oldest_job_age_seconds")) == (0, 0)


def test_a_pause_is_counted_and_shown_by_what_is_down(worker: Watched) -> None:
    worker.health.pause(PauseReason.BROKER, "down")
    paused = worker.metric("intake_paused", reason="broker")
    worker.health.resume()
    worker.health.resume()

    assert paused == 1
    assert worker.metric("intake_paused", reason="broker") == 0
    assert worker.metric("intake_pauses_total", reason="broker") == 1
    assert worker.metric("intake_pauses_total", reason="storage") == 0
