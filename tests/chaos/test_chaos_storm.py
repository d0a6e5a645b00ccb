"""Whatever happens to workers and servers: nothing is lost, nothing mixed, nobody wrongly dead, everybody told."""

import sys
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery
from tests.chaos.programme import Programme, short_of
from tests.chaos.stacks import Stack
from tests.chaos.storm import run_storm


@pytest.mark.timeout(400)
def test_a_storm_over_two_hundred_jobs_loses_nothing(tmp_path: Path, stack: Stack, launch: Nursery) -> None:
    """Of media processes, a poison job, duplicates, deaths of both servers, and whatever mischief comes up."""
    outcome = run_storm(tmp_path, stack, Programme(jobs=200, kills=10, outages=1, seed=2026), launch)
    sys.stdout.write(outcome.line() + "\n")
    assert outcome.faults == []
    assert outcome.verdict.jobs >= 200
    assert outcome.signals["SIGKILL"] >= 10
    assert {f"{server} killed" for server in ("broker", "store")} <= outcome.troubles.keys()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_signal_at_each_milestone_three_times_loses_nothing(tmp_path: Path, stack: Stack, launch: Nursery) -> None:
    programme = Programme(jobs=1000, kills=60, each=3, outages=2, workers=4, seed=2026)
    outcome = run_storm(tmp_path, stack, programme, launch)
    sys.stdout.write(outcome.line() + "\n")
    assert outcome.faults == []
    assert short_of(outcome.kill_log, 3) == []
