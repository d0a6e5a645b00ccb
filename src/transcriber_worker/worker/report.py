"""What is told of jobs as they go and end: metrics, log lines, progress events."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from transcriber_worker.brokers.base import Broker, Delivery
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.job import Job
from transcriber_worker.observability import events
from transcriber_worker.observability.labels import Ending, Stage
from transcriber_worker.observability.logging import emit, job_context
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.observability.trace import parse_traceparent
from transcriber_worker.pipeline.announcements import progress_event
from transcriber_worker.pipeline.outcome import Outcome
from transcriber_worker.pipeline.progress import JobProgress
from transcriber_worker.pipeline.records import JobRecord


class Report:
    """Tells of jobs. Thread-safe."""

    def __init__(self, broker: Broker, metrics: Metrics, clock: Clock, *, progress_events: bool) -> None:
        self._broker = broker
        self._metrics = metrics
        self._clock = clock
        self._progress_events = progress_events

    def began(self, job: Job, record: JobRecord, taken_from: str | None) -> None:
        """A job was claimed and begins. Told now, not at its end: a suspect's end may be the worker's."""
        self._metrics.attempts.inc()
        if record.attempts > 1:
            self._metrics.redeliveries.inc()
        if taken_from is not None:
            self._metrics.crash_takeovers.inc()
        if record.suspect:
            with _context(job, record):
                emit(events.JOB_SUSPECT, previous_worker=taken_from, crashes=record.crashes)

    def progress(self, job: Job, record: JobRecord, progress: JobProgress, /) -> None:
        """A long job has come further. The event is a courtesy: one that can't be sent is dropped."""
        now = progress.now
        with _context(job, record):
            emit(
                events.JOB_PROGRESS,
                stage=Stage.TRANSCRIBE,
                percent=now.percent,
                done_s=now.done_s,
                audio_s=now.audio_s,
                remaining_s=now.remaining_s,
            )
        if not self._progress_events or progress.data is None:
            return
        event = progress_event(job, record, progress.count, progress.data, self._clock.now())
        try:
            self._broker.announce(event.id, event.to_bytes(), job.reply_to)
        except EnvironmentDown as error:
            emit(events.ENVIRONMENT_DOWN, reason=error.part, message=str(error), stage="progress")

    def renewed(self) -> None:
        """A lease was renewed."""
        self._metrics.lease_renewals.inc()

    def renewal_failed(self, error: Exception) -> None:
        """A lease could not be renewed this time."""
        self._metrics.lease_renewal_failures.inc()
        emit(events.HEARTBEAT_FAILED, error=type(error).__name__, message=str(error))

    def ended(self, outcome: Outcome, delivery: Delivery) -> None:
        """An attempt ended, in whatever way."""
        ending = outcome.ending
        if ending is None:
            return
        self._metrics.jobs_finished.labels(outcome=ending).inc()
        if outcome.unannounced:
            self._metrics.announcement_failures.inc()
        with _context(outcome.job, outcome.record):
            self._line(ending, outcome, delivery)
            if outcome.error is not None:
                self._metrics.unexpected_errors.labels(error=type(outcome.error).__name__).inc()
                stage, error = outcome.watch.current, outcome.error
                emit(events.UNEXPECTED_ERROR, error=type(error).__name__, stage=stage, exc_info=error)
        for stage, seconds in outcome.watch.seconds.items():
            self._metrics.stage_seconds.labels(stage=stage).observe(seconds)
        if ending is Ending.COMPLETED:
            self._count_completed(outcome)

    def _line(self, ending: Ending, outcome: Outcome, delivery: Delivery) -> None:
        stage, record = outcome.watch.current, outcome.record
        failures = (record.failures if record else 0) + (1 if outcome.charged else 0)
        if ending is Ending.COMPLETED or ending is Ending.ALREADY_DONE:
            emit(events.JOB_FINISHED, outcome=ending, **_finished_fields(outcome))
        elif ending is Ending.RETRIED:
            error = type(outcome.error).__name__ if outcome.error else "RetryJob"
            self._metrics.retries.labels(error=error).inc()
            emit(
                events.JOB_RETRIED,
                error=error,
                message=outcome.message,
                stage=stage,
                failures=failures,
                delay_s=outcome.delay_s,
            )
        elif ending is Ending.DEAD_LETTERED:
            self._dead_lettered(outcome, delivery)
        elif ending is Ending.IGNORED:
            self._metrics.jobs_ignored.labels(reason=outcome.reason).inc()
            emit(events.JOB_IGNORED, reason=outcome.reason)
        elif ending is Ending.CANCELLED:
            emit(events.JOB_CANCELLED, stage=stage)
        elif ending is Ending.HANDED_BACK:
            emit(events.JOB_HANDED_BACK, stage=stage)
        elif ending is Ending.LEASE_LOST:
            self._metrics.claims_lost.inc()
            emit(events.JOB_LEASE_LOST, stage=stage)

    def _dead_lettered(self, outcome: Outcome, delivery: Delivery) -> None:
        self._metrics.dead_letters.labels(reason=outcome.reason).inc()
        record, message = outcome.record, delivery.message
        if record is None:
            size = len(message.body)
            reason = outcome.reason
            emit(
                events.DELIVERY_INVALID, reason=reason, message=outcome.message, origin=message.origin, body_bytes=size
            )
            return
        emit(
            events.JOB_DEAD_LETTERED,
            reason=outcome.reason,
            message=outcome.message,
            stage=outcome.watch.current,
            failures=record.failures,
            crashes=record.crashes,
        )

    def _count_completed(self, outcome: Outcome) -> None:
        metrics, found = self._metrics, outcome.findings
        total_s = outcome.total_s
        metrics.job_seconds.observe(total_s)
        if outcome.queue_wait_s is not None and outcome.record is not None and outcome.record.attempts == 1:
            metrics.queue_wait_seconds.observe(outcome.queue_wait_s)
        if outcome.publish_to_result_s is not None:
            metrics.publish_to_result_seconds.observe(outcome.publish_to_result_s)
        if found.audio_s > 0:
            metrics.real_time_factor.observe(total_s / found.audio_s)
        metrics.audio_seconds.inc(found.audio_s)
        metrics.speech_seconds.inc(found.speech_s)
        metrics.source_bytes.inc(found.source_bytes)
        metrics.words.inc(found.words)
        metrics.tokens.inc(found.tokens)
        metrics.segments.inc(found.segments)
        metrics.no_speech_jobs.inc(1 if found.no_speech else 0)
        for code in found.warnings:
            metrics.warnings.labels(code=code).inc()


def _context(job: Job | None, record: JobRecord | None) -> AbstractContextManager[None]:
    if job is None:
        return nullcontext()
    trace = parse_traceparent(job.traceparent)
    return job_context(
        job_id=job.id,
        request_id=job.request_id,
        attempt=record.attempts if record else 0,
        trace_id=trace.trace_id if trace else None,
    )


def _finished_fields(outcome: Outcome) -> dict[str, Any]:
    found, total_s = outcome.findings, outcome.total_s
    stages = {f"{stage.value}_s": round(seconds, 3) for stage, seconds in outcome.watch.seconds.items()}
    return {
        "queue_wait_s": _rounded(outcome.queue_wait_s),
        "job_s": round(total_s, 3),
        **stages,
        "audio_s": round(found.audio_s, 3),
        "speech_s": round(found.speech_s, 3),
        "real_time_factor": round(total_s / found.audio_s, 4) if found.audio_s > 0 else None,
        "publish_to_result_s": _rounded(outcome.publish_to_result_s),
        "source_bytes": found.source_bytes,
        "word_count": found.words,
        "holes_found": found.holes_found,
        "holes_rescued": found.holes_rescued,
        "language": found.language,
        "warnings": list(found.warnings),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
