"""SIGKILL at any instant loses nothing and mixes nothing, and a job that kills workers is found out alone."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, LEASE_S, LONG, Deployment, WorkerProcess, deployed, until
from tests.chaos.verdicts import assert_all_done
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.errors import Reason
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.settings import WorkerSettings

MAX_CRASHES = WorkerSettings().max_crashes
KILLED = -signal.SIGKILL


def submit_jobs(deployment: Deployment, count: int, long: int) -> list[Job]:
    """`count` jobs, the first `long` of them with several windows."""
    jobs = [deployment.submit(LONG, f"long-{number}.opus") for number in range(long)]
    return jobs + [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(count - long)]


def kill_at(deployment: Deployment, milestone: Milestone, nth: int) -> None:
    """Run a worker, on a scratch of its own, that kills itself there, and prove that it did. No job more often than it
    can bear before it must be thought guilty."""
    log = deployment.root / "kills.log"
    before = log.read_text().splitlines() if log.exists() else []
    plan = Plan(milestone=milestone, nth=nth, log=str(log), most_per_job=MAX_CRASHES - 1)
    worker = deployment.start(plan)
    assert worker.ended() == KILLED, worker.tail()
    added = log.read_text().splitlines()[len(before) :]
    assert [line.split()[0] for line in added] == [milestone]
    until(lambda: not worker.children(), "its media processes died with it")


@pytest.mark.timeout(240)
def test_a_kill_at_each_milestone_loses_and_mixes_nothing(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        jobs = submit_jobs(deployment, 14, long=3)
        for milestone in Milestone:
            kill_at(deployment, milestone, 1)
        deployment.start()
        deployment.run_to_end(*jobs)
        assert_all_done(deployment, jobs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("milestone", list(Milestone))
def test_five_kills_at_a_milestone_of_twenty_jobs_lose_and_mix_nothing(tmp_path: Path, milestone: Milestone) -> None:
    rng = random.Random(milestone)
    with deployed(tmp_path) as deployment:
        jobs = submit_jobs(deployment, 20, long=6)
        for _ in range(5):
            kill_at(deployment, milestone, rng.randint(1, 3))
        deployment.start()
        deployment.run_to_end(*jobs, within_s=200)
        assert_all_done(deployment, jobs)


def kill_at_a_random_moment(deployment: Deployment, worker: WorkerProcess, rng: random.Random) -> None:
    """Unless a job would be thought guilty for it: decided while the worker stands still."""
    until(lambda: worker.lines(events.WORKER_READY), "the worker is ready")
    while True:
        moment = time.monotonic() + rng.uniform(0.0, 2.5)
        until(lambda moment=moment: time.monotonic() >= moment, "the moment has come")  # type: ignore[misc]
        worker.signal(signal.SIGSTOP)
        until(worker.stopped, "it stands still")
        records = [found.record for found in deployment.office.records.all()]
        at_the_bound = [record for record in records if record.alone and record.crashes >= MAX_CRASHES - 1]
        worker.signal(signal.SIGCONT if at_the_bound else signal.SIGKILL)
        if not at_the_bound:
            assert worker.ended() == KILLED
            return


def random_kills(folder: Path, kills: int, jobs_count: int, long: int) -> None:
    rng = random.Random(20_26)
    with deployed(folder) as deployment:
        jobs = submit_jobs(deployment, jobs_count, long)
        done_at_kill = []
        for _ in range(kills):
            kill_at_a_random_moment(deployment, deployment.start(Plan(pace=0.05)), rng)
            done = sum(found.record.state is JobState.DONE for found in deployment.office.records.all())
            done_at_kill.append(done)
        disturbing = sum(done < jobs_count for done in done_at_kill)
        assert disturbing >= kills * 3 // 4, "most kills must find work to disturb"
        deployment.start()
        deployment.run_to_end(*jobs, within_s=200)
        assert_all_done(deployment, jobs)


@pytest.mark.timeout(200)
def test_kills_at_random_moments_lose_and_mix_nothing(tmp_path: Path) -> None:
    random_kills(tmp_path, kills=4, jobs_count=8, long=3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_at_random_moments_over_twenty_jobs_lose_and_mix_nothing(tmp_path: Path) -> None:
    random_kills(tmp_path, kills=20, jobs_count=20, long=8)


@pytest.mark.timeout(300)
def test_a_job_that_kills_every_worker_is_found_out_and_no_innocent_is_charged(tmp_path: Path) -> None:
    """Three workers side by side, each started again when it dies, as Kubernetes would."""
    with deployed(tmp_path) as deployment:
        poison = deployment.submit(BRIEF, "poison.wav")
        innocents = submit_jobs(deployment, 8, long=1)
        log = tmp_path / "kills.log"
        plan = Plan(milestone=Milestone.WINDOW_SUBMITTED, jobs=(poison.id,), log=str(log))
        side_by_side = [deployment.start(plan) for _ in range(3)]

        def over() -> bool:
            for place, worker in enumerate(side_by_side):
                if not worker.running:
                    assert worker.ended() == KILLED
                    side_by_side[place] = deployment.start(plan)
            return deployment.ended(poison, *innocents)

        until(over, "all ended", 150)
        # Once among others, then alone until the bound.
        assert len(log.read_text().splitlines()) == 1 + MAX_CRASHES
        letters = deployment.letters()
        assert list(letters) == [poison.id]
        assert letters[poison.id]["reason"] == Reason.TOO_MANY_CRASHES
        assert letters[poison.id]["crashes"] == MAX_CRASHES
        for job in innocents:
            record = deployment.record(job)
            assert record is not None
            assert (record.state, record.crashes, record.failures) == (JobState.DONE, 0, 0)
        assert [event["data"]["error"]["reason"] for event in deployment.results(poison)] == ["too_many_crashes"]


def test_scratch_of_dead_workers_goes_at_a_start_once_it_is_old_enough(tmp_path: Path) -> None:
    shared = {"scratch_dir": str(tmp_path / "shared"), "scratch_max_age_s": 3600.0}
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        dead = deployment.start(Plan(milestone=Milestone.OPENED), worker=shared)
        assert dead.ended() == KILLED
        left = [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
        assert len(left) == 1
        deployment.start(worker=shared)
        deployment.run_to_end(job)
        assert left[0].exists(), "too young to go"
        third = deployment.start(worker=shared | {"scratch_max_age_s": 0.001})
        until(lambda: third.lines(events.SCRATCH_CLEANED), "scratch cleaned")
        assert not left[0].exists()


def test_a_worker_that_comes_back_under_its_own_name_clears_its_own_scratch(tmp_path: Path) -> None:
    """As a container does that is started again in its pod: its name is the same, and the disk is still there."""
    same = {"id": "pod-1", "scratch_dir": str(tmp_path / "shared"), "scratch_max_age_s": 3600.0}
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        assert deployment.start(Plan(milestone=Milestone.OPENED), worker=same).ended() == KILLED
        left = [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
        assert len(left) == 1
        deployment.start(worker=same)
        deployment.run_to_end(job, within_s=20 * LEASE_S)
        assert not left[0].exists()
