"""What is told of a job: one line when it goes well, and metrics that add up."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.workbench import Workbench
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, WorkerBroken
from transcriber_worker.observability.logging import configure
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.progress import JobProgress
from transcriber_worker.settings import ObservabilitySettings
from transcriber_worker.worker.report import Report


class Told:
    """A report, and what came of it."""

    def __init__(self, bench: Workbench, *, progress_events: bool = False) -> None:
        self.bench = bench
        self.metrics = Metrics(CollectorRegistry())
        self.report = bench.watcher = Report(bench.broker, self.metrics, bench.clock, progress_events=progress_events)
        self._log = io.StringIO()
        settings = ObservabilitySettings(log_format="json", log_level="debug")
        configure(settings, worker_id="w1", clock=bench.clock, stream=self._log)

    def attend(self, delivery: Delivery | None = None, cancel: CancelToken | None = None) -> None:
        delivery = delivery or self.bench.delivery()
        self.report.ended(self.bench.attend(delivery, cancel=cancel), delivery)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def make_told(tmp_path: Path) -> Iterator[Callable[..., Told]]:
    benches: list[Workbench] = []

    def make(*, progress_events: bool = False, **changes: Any) -> Told:
        benches.append(Workbench(tmp_path, changes))
        return Told(benches[-1], progress_events=progress_events)

    yield make
    for bench in benches:
        bench.close()


def test_a_job_that_goes_well_is_one_line(make_told: Callable[..., Told]) -> None:
    told = make_told()
    submitted = told.bench.submit(b"2", id="call-1", attributes={"tenant": "secret-tenant"})
    told.bench.clock.advance(7.0)

    told.attend()

    (line,) = told.lines
    assert line["event"] == "job.finished"
    assert (line["job_id"], line["request_id"], line["attempt"]) == (submitted.job.id, "call-1", 1)
    assert (line["outcome"], line["queue_wait_s"], line["publish_to_result_s"]) == ("completed", 7.0, 7.0)
    assert (line["job_s"], line["real_time_factor"]) == (0.0, 0.0), "no time passes on this clock"
    assert (line["audio_s"], line["speech_s"], line["source_bytes"], line["word_count"]) == (20.0, 20.0, 1, 20)
    stages = {key for key in line if key.endswith("_s")}
    assert {"claim_s", "download_s", "read_s", "transcribe_s", "commit_s", "render_s", "settle_s"} <= stages
    assert "undeclared_fields" not in line
    assert "secret-tenant" not in json.dumps(line)


def test_metrics_of_a_job_that_goes_well_add_up(make_told: Callable[..., Told]) -> None:
    told = make_told()
    told.bench.submit(b"2")

    told.attend()

    assert told.value("transcriber_jobs_finished_total", outcome="completed") == 1
    assert told.value("transcriber_audio_seconds_total") == 20.0
    assert told.value("transcriber_words_total") == 20
    assert told.value("transcriber_tokens_total") == 20
    assert told.value("transcriber_stage_seconds_count", stage="commit") == 1
    assert told.value("transcriber_publish_to_result_seconds_count") == 1


@pytest.mark.parametrize(
    ("content", "event", "ending"),
    [(b"unreadable", "job.dead_lettered", "dead_lettered"), (b"flaky", "job.retried", "retried")],
)
def test_other_endings_have_lines_of_their_own(
    make_told: Callable[..., Told], content: bytes, event: str, ending: str
) -> None:
    told = make_told()
    told.bench.submit(content)

    told.attend()

    (line,) = told.lines
    assert (line["event"], line["stage"]) == (event, "open")
    assert "undeclared_fields" not in line
    assert told.value("transcriber_jobs_finished_total", outcome=ending) == 1


def test_a_bug_is_counted_and_logged_with_its_traceback(make_told: Callable[..., Told]) -> None:
    told = make_told()
    told.bench.submit(b"bug")

    told.attend()

    assert [line["event"] for line in told.lines] == ["job.retried", "error.unexpected"]
    assert "ZeroDivisionError" in told.lines[1]["exception"]
    assert told.value("transcriber_unexpected_errors_total", error="ZeroDivisionError") == 1


def test_garbage_is_told_with_its_origin(make_told: Callable[..., Told]) -> None:
    told = make_told()
    told.bench.broker.publish(b"garbage", {})

    told.attend()

    (line,) = told.lines
    assert (line["event"], line["reason"], line["body_bytes"]) == ("delivery.invalid", "invalid_request", 7)
    assert told.value("transcriber_dead_letters_total", reason="invalid_request") == 1


def test_a_hand_back_is_told(make_told: Callable[..., Told]) -> None:
    told, cancel = make_told(), CancelToken()
    cancel.cancel(HandBack())
    told.bench.submit()

    told.attend(cancel=cancel)

    assert [line["event"] for line in told.lines] == ["job.handed_back"]


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_is_logged_and_announced_where_that_is_wanted(make_told: Callable[..., Told], wanted: bool) -> None:
    told = make_told(progress_events=wanted)
    submitted = told.bench.submit()
    progress = JobProgress(told.bench.clock, 1.0, lambda _: None)
    progress.begin(100.0, 0.0)
    told.bench.clock.advance(5.0)
    progress.heard(25.0)

    told.report.progress(submitted.job, told.bench.record(submitted), progress)

    (line,) = told.lines
    assert (line["event"], line["percent"], line["job_id"]) == ("job.progress", 25.0, submitted.job.id)
    assert len(told.bench.results()) == (1 if wanted else 0)


def test_the_seconds_of_a_job_end_with_its_attempt(make_told: Callable[..., Told]) -> None:
    """The loop may hear of the end a second later; that second is not the job's."""
    told = make_told()
    told.bench.submit(b"2")
    delivery = told.bench.delivery()
    told.bench.on_milestone = lambda milestone: told.bench.clock.advance(1.0)
    outcome = told.bench.attend(delivery)
    told.bench.clock.advance(100.0)

    told.report.ended(outcome, delivery)

    (line,) = told.lines
    assert line["job_s"] == len(told.bench.milestones)


def test_a_suspect_is_told_when_it_begins_with_who_died(make_told: Callable[..., Told]) -> None:
    """Not at its end, which may be the worker's."""
    told = make_told()
    told.bench.submit(b"broken")
    with pytest.raises(WorkerBroken):
        told.bench.attend(worker=told.bench.worker("w1"))
    told.bench.clock.advance(1000.0)

    with pytest.raises(WorkerBroken):
        told.bench.attend(worker=told.bench.worker("w2"), alone=True)

    (line,) = told.lines
    assert (line["event"], line["previous_worker"], line["crashes"]) == ("job.suspect", "w1", 0)
    assert told.value("transcriber_crash_takeovers_total") == 1
    assert told.value("transcriber_attempts_total") == 2
    assert told.value("transcriber_redeliveries_total") == 1
