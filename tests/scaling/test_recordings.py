"""The recordings of docs/scaling/: whole, replayed alike, and what the page claims of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.tools import PROJECT
from tests.scaling.keda import Release
from tests.scaling.recordings import Recording, all_recordings, chart_autoscaling, waiting_only
from tests.scaling.scenarios import SCENARIOS
from tests.scaling.tables import sections
from transcriber_worker.worker.loop import HAND_BACK_S

RECORDINGS = {one.scenario: one for one in all_recordings()}


@pytest.fixture(params=sorted(RECORDINGS))
def recording(request: pytest.FixtureRequest) -> Recording:
    return RECORDINGS[request.param]


def test_every_scenario_has_a_recording() -> None:
    assert set(RECORDINGS) == set(SCENARIOS)


def test_the_page_is_current() -> None:
    command = [sys.executable, str(PROJECT / "scripts" / "gen-scaling.py"), "--check"]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("messagesPerWorker", 4), ("maxReplicas", 2), ("cooldownPeriod", 60), ("pollingInterval", 60), ("behavior", {})],
)
def test_another_value_of_the_chart_makes_another_page(name: str, value: object) -> None:
    autoscaling = chart_autoscaling()

    assert list(sections(RECORDINGS, autoscaling)) != list(sections(RECORDINGS, {**autoscaling, name: value}))


def test_a_recording_is_read_as_it_was_written(recording: Recording, tmp_path: Path) -> None:
    assert Recording.load(recording.save(tmp_path)) == recording


def test_replayed_the_answers_ask_for_the_workers_that_ran(recording: Recording) -> None:
    assert [one.replicas for one in recording.decisions()] == [one.desired for one in recording.samples]


def test_the_workers_follow_what_was_asked_for(recording: Recording) -> None:
    """Each turn sees the workers of the turn before, none of which ended by itself."""
    before = [one.desired for one in recording.samples[:-1]]

    assert [one.workers for one in recording.samples[1:]] == before


def test_a_scale_in_costs_no_job(recording: Recording) -> None:
    outcome = recording.outcome

    assert (outcome.jobs_with_one_transcript, outcome.jobs_with_one_result) == (outcome.jobs, outcome.jobs)
    assert (outcome.transcripts, outcome.dead_letters) == (outcome.jobs, 0)
    assert outcome.begun - outcome.jobs == sum(one.handed_back for one in recording.scale_ins)


def test_a_worker_that_is_scaled_in_finishes_or_hands_back_all_it_has(recording: Recording) -> None:
    for one in recording.scale_ins:
        assert (one.finished + one.handed_back, one.exit_code) == (one.in_flight, 0)


def test_what_is_handed_back_was_worked_on_no_longer_than_the_drain(recording: Recording) -> None:
    for one in recording.scale_ins:
        assert one.drained_s <= one.handed_back * (recording.drain_s + HAND_BACK_S)


def test_the_scale_in_recorded_is_the_one_that_costs() -> None:
    ended = [one for one in RECORDINGS["scale-in"].scale_ins if one.handed_back]

    assert len(ended) >= 2
    assert max(one.done_s for one in ended) > RECORDINGS["scale-in"].drain_s


def test_a_file_in_work_would_be_ended_if_only_what_waits_counted() -> None:
    recording = RECORDINGS["one-long-file"]
    naive = list(recording.decisions(metric=waiting_only))
    counted = list(recording.decisions())
    busy = [at for at, one in enumerate(recording.samples) if one.answer and one.answer.in_flight]

    assert 0 in {naive[at].replicas for at in busy}
    assert {counted[at].replicas for at in busy} == {1}


def test_an_exporter_that_is_lost_says_nothing_rather_than_zero() -> None:
    recording = RECORDINGS["exporter-lost"]
    lost = next(at for at, one in enumerate(recording.samples) if "exporter killed" in one.did)
    back = next(at for at, one in enumerate(recording.samples) if "exporter started again" in one.did)

    assert {one.status for one in recording.samples[lost:back]} == {0}
    assert {one.status for one in recording.samples} <= {0, 200, 503}
    first = next(one.answer for one in recording.samples[back:] if one.answer)
    assert first.backlog > 0


def test_losing_the_exporter_ends_no_busy_worker_but_by_the_rules_of_an_old_keda() -> None:
    recording = RECORDINGS["exporter-lost"]
    lost = next(at for at, one in enumerate(recording.samples) if "exporter killed" in one.did)
    back = next(at for at, one in enumerate(recording.samples) if "exporter started again" in one.did)
    meanwhile = {
        release: [one.replicas for one in recording.decisions(release=release)][lost:back] for release in Release
    }

    assert set(meanwhile[Release.AFTER_THRESHOLD] + meanwhile[Release.FROM_ZERO_TOO]) == {4}
    assert set(meanwhile[Release.FIRST_ERROR]) == {1}


def test_prometheus_is_told_what_keda_is_told(recording: Recording) -> None:
    for one in recording.samples:
        if one.metrics_status == 200:
            assert {name for name in one.metrics if name.endswith("_messages")} == (
                set() if one.metrics["transcriber_backlog_known"] == 0 else _MESSAGES
            )


_MESSAGES = {"transcriber_backlog_waiting_messages", "transcriber_backlog_in_flight_messages"}
