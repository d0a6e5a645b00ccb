"""Provoked failures fire exactly the right alerts: real workers and a real exporter, scraped by a real Prometheus that
evaluates the chart's rules in faster time (tests/monitoring/faster.py)."""

import signal
from pathlib import Path

import pytest

from tests.chaos.deployment import LONG, until
from tests.chaos.stacks import Folder, dead
from tests.chaos.worker_under_test import Plan
from tests.monitoring.conftest import Watch
from tests.monitoring.prometheus import Alert
from tests.monitoring.site import unreadable

pytestmark = pytest.mark.timeout(240)

BACKLOG_UNKNOWN = Alert.of("TranscriberBacklogUnknown")
NO_PROGRESS = Alert.of("TranscriberNoProgress")
UNREADABLE = Alert.of("TranscriberDeadLetters", reason="media_unreadable")


def paused(reason: str) -> Alert:
    return Alert.of("TranscriberIntakePaused", reason=reason)


@pytest.fixture
def garbage(tmp_path: Path) -> Path:
    return unreadable(tmp_path / "garbage.wav")


def test_a_run_that_goes_well_fires_nothing(watch: Watch) -> None:
    site = watch("oci_queue")
    jobs = site.submit(30)
    workers = [site.start() for _ in range(2)]
    site.start_exporter()

    site.deployment.run_to_end(*jobs)
    site.wait_for('sum(transcriber_jobs_finished_total{outcome="completed",$}) == 30', "all are told of")
    site.wait_for(
        "transcriber_backlog_waiting_messages{$} + transcriber_backlog_in_flight_messages{$} == 0", "all done"
    )

    site.resolves()
    assert all(worker.running for worker in workers)


def test_a_broker_that_is_gone_pauses_the_intake_and_nobody_knows_the_backlog(watch: Watch) -> None:
    """And no more: that what is in work can be neither renewed nor announced meanwhile pages nobody."""
    site = watch()
    jobs = site.submit(8)
    site.open(Plan(pace=0.3))
    site.wait_for("transcriber_jobs_in_flight{$} > 1", "jobs are at work")

    with dead(site.deployment.stack.broker):
        site.fires(paused("broker"), BACKLOG_UNKNOWN)
        site.wait_for("rate(transcriber_lease_renewal_failures_total{$}[5s]) > 0", "renewals fail")
    site.deployment.run_to_end(*jobs)
    site.resolves()


def test_a_service_that_is_killed_is_told_as_the_broker(watch: Watch) -> None:
    """OCI Queue; Object Storage is the same server here, but nobody has missed it yet."""
    site = watch("oci_queue")
    site.open()

    with dead(site.deployment.stack.broker):
        site.fires(paused("broker"), BACKLOG_UNKNOWN)
    site.resolves()


def test_credentials_that_are_refused_are_told_as_such(watch: Watch) -> None:
    """The exporter has the same ones."""
    site = watch("oci_queue")
    site.open()

    refused = site.deployment.stack.refused()
    assert refused is not None
    with refused:
        site.fires(paused("credentials"), BACKLOG_UNKNOWN)
    site.resolves()


def test_a_store_that_is_gone_pauses_the_intake(watch: Watch) -> None:
    site = watch()
    jobs = site.submit(6)
    site.open(Plan(pace=0.3))
    site.wait_for("transcriber_jobs_in_flight{$} > 1", "jobs are at work")

    with dead(site.deployment.stack.store):
        site.fires(paused("storage"))
    site.deployment.run_to_end(*jobs)
    site.resolves()


def test_results_that_nobody_takes_are_told_beside_the_pause(watch: Watch) -> None:
    site = watch()
    site.open()

    with dead(Folder(site.deployment.spool / "results")):
        jobs = site.submit(3)
        site.fires(paused("broker"), Alert.of("TranscriberResultsUnannounced"))
    site.deployment.run_to_end(*jobs)


def test_a_few_unreadable_files_are_dead_letters_and_no_more(watch: Watch, garbage: Path) -> None:
    site = watch("oci_queue")
    site.open()

    jobs = [*site.submit(12), *site.submit(3, garbage, "bad")]
    site.fires(UNREADABLE)
    site.deployment.run_to_end(*jobs)


def test_many_unreadable_files_are_a_failure_rate_as_well(watch: Watch, garbage: Path) -> None:
    site = watch("oci_queue")
    site.open()

    site.submit(10, garbage, "bad")
    site.fires(UNREADABLE, Alert.of("TranscriberFailureRate"))


def test_a_dead_letter_before_the_first_scrape_is_seen(watch: Watch, garbage: Path) -> None:
    """As of a worker that KEDA starts for a single file."""
    site = watch("oci_queue")
    site.submit(1, garbage, "bad")
    site.start(scraped=False)
    counted = 'transcriber_dead_letters_total{reason="media_unreadable"} 1.0'
    until(lambda: counted in site.metrics("worker-1"), "it is counted")
    site.scrape("worker-1")

    site.fires(UNREADABLE)


def test_an_engine_that_is_stuck_makes_no_progress(watch: Watch, tmp_path: Path) -> None:
    site = watch("oci_queue")
    held = tmp_path / "held"
    held.touch()
    site.submit(6, LONG, "long")
    site.open(Plan(held=str(held)))

    site.fires(NO_PROGRESS)
    assert site.value("transcriber_jobs_in_flight{$}") == 4
    held.unlink()
    site.resolves()


def test_a_backlog_that_no_worker_is_there_for_makes_no_progress(watch: Watch) -> None:
    site = watch("oci_queue")
    worker = site.open()
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0

    site.submit(3)
    site.fires(NO_PROGRESS)
    site.start()
    site.resolves()


def test_a_worker_that_ends_again_and_again_is_told_by_its_pod(watch: Watch) -> None:
    site = watch()
    began, lives = 0.0, 4
    for life in range(lives):
        worker = site.start(pod="calls-0", scraped=life == 0)
        site.wait_for(f"transcriber_process_start_time_seconds{{$}} > {began}", "it is scraped")
        began = site.value("transcriber_process_start_time_seconds{$}")
        if life < lives - 1:
            worker.signal(signal.SIGKILL)
            worker.ended()

    site.fires(Alert.of("TranscriberRestarts", pod="calls-0"))


def test_an_exporter_that_is_gone_leaves_the_backlog_unknown(watch: Watch) -> None:
    site = watch()
    site.open()

    assert site.exporter is not None
    site.exporter.kill()
    site.fires(BACKLOG_UNKNOWN)
    site.start_exporter()
    site.resolves()
