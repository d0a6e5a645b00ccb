"""The figures of a load test. How they are gathered: `tests/integration/test_scripts_load_test.py`."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.builders import NOW, make_job, make_record
from transcriber_worker.messages.result import failure
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.tools.load_report import Ended, Heard, Report, report, spread


def done(asked_s: float, begun_s: float, ended_s: float, *, worker: str = "w1", **fields: Any) -> Ended:
    """A job of 60 s audio; its times count from `NOW`."""
    record = make_record(
        make_job(),
        **{
            "state": JobState.DONE,
            "attempts": 1,
            "requested_at": NOW + asked_s,
            "started_at": NOW + begun_s,
            "finished_at": NOW + ended_s,
            **fields,
        },
    )
    return Ended(record, Heard(60.0, worker, "fake"))


def dead(reason: str, **fields: Any) -> Ended:
    error = failure(reason, "for a test", "open")
    return Ended(make_record(make_job(), state=JobState.DEAD, error=error, **fields), None)


def figures(*ended: Ended, jobs: int | None = None) -> Report:
    return report("run-1", "kafka", None, jobs if jobs is not None else len(ended), ended)


def test_throughput_is_over_the_time_from_the_first_publication_to_the_last_end() -> None:
    found = figures(done(0, 5, 20), done(10, 12, 40))
    assert (found.audio_s, found.wall_s) == (120.0, 40.0)
    assert (found.audio_s_per_s, found.files_per_min) == (3.0, 3.0)


def test_latency_is_waiting_and_work() -> None:
    found = figures(done(0, 5, 20), done(10, 12, 40))
    assert (found.queue_wait_s["max"], found.work_s["max"], found.latency_s["max"]) == (5.0, 28.0, 30.0)
    assert found.latency_s["p50"] == 25.0


def test_jobs_in_flight_are_counted_while_there_was_work() -> None:
    assert figures(done(0, 10, 20), done(0, 10, 20), done(0, 10, 20)).mean_in_flight == 3.0
    assert figures(done(0, 10, 20), done(0, 20, 30)).mean_in_flight == 1.0


def test_stages_are_medians_of_the_jobs_that_went_through_them() -> None:
    found = figures(*(done(0, 1, 2, timings={"open": seconds}) for seconds in (1.0, 2.0, 9.0)), done(0, 1, 2))
    assert found.stages_s == {"open": 2.0}


def test_jobs_count_by_worker_and_failures_by_reason() -> None:
    found = figures(
        done(0, 1, 2, worker="w2"), done(0, 1, 2), done(0, 1, 2), dead("media_unreadable"), dead("media_unreadable")
    )
    assert found.jobs_by_worker == {"w1": 2, "w2": 1}
    assert (found.done, found.failed) == (3, {"media_unreadable": 2})


def test_a_job_that_is_done_without_a_transcript_has_failed() -> None:
    lost = replace(done(0, 1, 2), heard=None)
    assert figures(lost).failed == {"no_transcript": 1}
    assert figures(lost).done == 0


def test_what_was_repeated_counts_the_failed_jobs_too() -> None:
    found = figures(done(0, 1, 2, attempts=3, failures=1, crashes=1), dead("too_many_attempts", attempts=5, failures=5))
    assert found.repeats == {"attempts": 6, "failures": 6, "crashes": 1}


def test_a_run_without_an_end_has_figures_too() -> None:
    found = figures(jobs=7)
    assert (found.unfinished, found.done, found.audio_s_per_s, found.latency_s) == (7, 0, 0.0, {})


@pytest.mark.parametrize("values", [[4.0], [4.0, 4.0]])
def test_the_spread_of_equal_values_is_that_value(values: list[float]) -> None:
    assert set(spread(values).values()) == {4.0}


def test_percentiles_lie_where_they_belong() -> None:
    found = spread([float(value) for value in range(101)])
    assert found == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


def test_a_report_is_read_back_equal() -> None:
    found = figures(done(0, 1, 2, timings={"open": 0.5}), dead("media_unreadable"))
    assert Report.from_json(json.dumps(asdict(found))) == found


@pytest.mark.parametrize("change", [{"version": 2}, {"jobs": "many"}, None])
def test_anything_else_is_no_report(change: dict[str, Any] | None) -> None:
    fields = {**asdict(figures()), **change} if change else []
    with pytest.raises(ValueError, match="report"):
        Report.from_json(json.dumps(fields))


def test_another_load_is_told_apart() -> None:
    one, other = figures(done(0, 1, 2)), figures(done(0, 1, 5))
    assert one.differences(other) == [], "how fast it was is no difference in what was asked for"
    assert other.differences(replace(one, broker="directory", rate_per_s=2.0)) == [
        "broker: kafka, baseline directory",
        "rate_per_s: None, baseline 2.0",
    ]
