"""The ends a job can come to, each as the sequence of writes that loses nothing wherever it is cut short: what is
durable first, then the record, then the announcement, then the settlement."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

from transcriber_worker.brokers.base import Broker, Delivery, Letter, Message
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.dead_letter import MAX_INLINE_BODY_BYTES, DeadLetter, inline_body
from transcriber_worker.messages.result import (
    EventType,
    Failure,
    ResultData,
    ResultEvent,
    failure,
    result_event,
)
from transcriber_worker.observability.labels import Stage
from transcriber_worker.pipeline.announcements import addressed, result_data, sequence_number
from transcriber_worker.pipeline.claims import Claim
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Stopwatch
from transcriber_worker.pipeline.records import JobRecord, JobRecords, JobState
from transcriber_worker.settings import WorkerSettings
from transcriber_worker.storage.base import ConditionFailed, ObjectStore

CANCELLED = "cancelled"
_MAX_HEADERS_BYTES = 16 * 1024
"""Of a message, kept in its letter: a letter that is too large for the broker could never be written."""


class Unannounced(EnvironmentDown):
    """The broker takes no result event; all that comes before it is done."""


class Endings:
    """Ends attempts for one worker. Every method may raise `EnvironmentDown` and, where it has a claim, `LeaseLost`."""

    def __init__(
        self,
        broker: Broker,
        store: ObjectStore,
        records: JobRecords,
        state: ObjectUri,
        settings: WorkerSettings,
        worker_id: str,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._broker = broker
        self._store = store
        self._records = records
        self._state = state
        self._settings = settings
        self._worker_id = worker_id
        self._clock = clock
        self._rng = rng

    def complete(
        self,
        delivery: Delivery,
        job: Job,
        claim: Claim,
        data: ResultData,
        watch: Stopwatch,
        reached: Callable[[Milestone], None],
    ) -> None:
        """The outputs are stored: write the record, announce, settle. A letter from an earlier try is resolved."""
        timings = {stage.value: round(seconds, 3) for stage, seconds in watch.seconds.items()}
        with watch.stage(Stage.FINISH):
            event = claim.finish(
                JobState.DONE, self._event(job, EventType.COMPLETED, data), error=None, timings=timings
            )
        reached(Milestone.FINISHED)
        with watch.stage(Stage.ANNOUNCE):
            self.announce(event, job)
        reached(Milestone.ANNOUNCED)
        with watch.stage(Stage.SETTLE):
            self._resolve(claim.record)
            delivery.settle()
        reached(Milestone.SETTLED)

    def announce(self, event: ResultEvent, job: Job) -> None:
        """Announce, for the first time or again: the same event with the same id. Raises `Unannounced`."""
        self._announce(event, job.reply_to)

    def repeat(self, delivery: Delivery, job: Job, record: JobRecord) -> None:
        """The job had ended before this message came: say so again, to whoever asks now."""
        if record.result is not None:
            self.announce(addressed(record.result, job, delivery.message.id), job)
        if record.state is JobState.DONE:
            self._resolve(record)
        delivery.settle()

    def cancel(self, delivery: Delivery, job: Job, claim: Claim, stage: str) -> None:
        """A user wanted it stopped."""
        error = failure(CANCELLED, "cancelled by a user", stage)
        self._end(delivery, job, claim, JobState.CANCELLED, error)

    def bury(self, delivery: Delivery, job: Job, claim: Claim, error: RejectJob, stage: str) -> None:
        """It can't be done: dead letter, record, announcement, settlement."""
        record = claim.record
        letter = self._letter(job.id, job.request_id, delivery.message, error, stage, record.attempts, record.crashes)
        claim.verify(lettered=True)
        self._broker.dead_letters.put(Letter(letter.id, letter.to_bytes()))
        self._end(delivery, job, claim, JobState.DEAD, failure(error.reason, error.message, stage))

    def retry(self, delivery: Delivery, claim: Claim, error: RetryJob, stage: str) -> float:
        """Let the job be tried again, charged with a failure or not; raises `RejectJob` at the bound. Returns the delay
        in seconds."""
        failures = claim.record.failures
        if error.charged:
            failures += 1
            self._check_bound(failures, error)
        delay_s = self._delay_s(failures, error)
        claim.release(failures=failures, suspect=False, error=failure("retry", error.message, stage))
        delivery.give_back(delay_s)
        return delay_s

    def hand_back(self, delivery: Delivery, claim: Claim) -> None:
        """The worker stops: nothing is counted, somebody else takes it at once."""
        claim.release()
        delivery.give_back()

    def bury_unread(self, delivery: Delivery, error: RejectJob) -> None:
        """A body that names no job: the letter goes under a hash of its bytes and origin."""
        message = delivery.message
        letter = self._letter(unread_id(message), "", message, error, "receive", 1, 0)
        self._broker.dead_letters.put(Letter(letter.id, letter.to_bytes()))
        data = ResultData(
            job_id=letter.id, request_id="", seq=sequence_number(1), source="", attempt=1,
            error=failure(error.reason, error.message, "receive"),
        )  # fmt: skip
        event_id = f"{letter.id}:1"
        event = result_event(event_id, EventType.FAILED, data, now=self._clock.now(), traceparent=None)
        self._announce(event, None)
        delivery.settle()

    def retry_unread(self, delivery: Delivery, error: RetryJob, reason: Reason) -> float:
        """A message that was not claimed, such as one for a newer worker: counted under its hash; raises `RejectJob`
        with `reason` at the bound. Returns the delay."""
        id_ = unread_id(delivery.message)
        found = self._records.read(id_)
        failures = (found.record.failures if found else 0) + 1
        self._check_bound(failures, error, reason)
        record = JobRecord(
            job_id=id_, name="", state=JobState.QUEUED, failures=failures, requested_at=self._clock.now()
        )
        with suppress(ConditionFailed):  # another worker counts the same attempt
            if found is None:
                self._records.create(record)
            else:
                self._records.replace(record, found.info.etag)
        delay_s = self._delay_s(failures, error)
        delivery.give_back(delay_s)
        return delay_s

    def _announce(self, event: ResultEvent, reply_to: str | None) -> None:
        try:
            self._broker.announce(event.id, event.to_bytes(), reply_to)
        except EnvironmentDown as error:
            raise Unannounced(str(error), error.part) from error

    def _resolve(self, record: JobRecord) -> None:
        """A success makes an earlier failure's letter void."""
        if record.lettered:
            self._broker.dead_letters.resolve(record.job_id)

    def _end(self, delivery: Delivery, job: Job, claim: Claim, state: JobState, error: Failure) -> None:
        data = result_data(job, claim.record.attempts, error=error)
        event = claim.finish(state, self._event(job, EventType.FAILED, data), error=error)
        self.announce(event, job)
        delivery.settle()

    def _event(self, job: Job, type_: EventType, data: ResultData) -> Callable[[int], ResultEvent]:
        def at(revision: int) -> ResultEvent:
            numbered = data.model_copy(update={"seq": sequence_number(revision)})
            now = self._clock.now()
            return result_event(f"{job.id}:{revision}", type_, numbered, now=now, traceparent=job.traceparent)

        return at

    def _letter(
        self, id_: str, request_id: str, message: Message, error: RejectJob, stage: str, attempts: int, crashes: int
    ) -> DeadLetter:
        if len(message.body) > MAX_INLINE_BODY_BYTES:
            uri = self._state.child(f"bodies/{id_}")
            self._store.write(uri, message.body, "application/octet-stream")
            body = {"body_uri": str(uri)}
        else:
            body = inline_body(message.body)
        return DeadLetter(
            id=id_,
            request_id=request_id,
            reason=error.reason,
            message=error.message,
            stage=stage,
            attempts=attempts,
            crashes=crashes,
            origin=message.origin,
            worker=self._worker_id,
            time=datetime.fromtimestamp(self._clock.now(), UTC),
            headers=_bounded(message.headers),
            **body,
        )

    def _check_bound(self, failures: int, error: RetryJob, reason: Reason = Reason.TOO_MANY_ATTEMPTS) -> None:
        if failures >= self._settings.max_attempts:
            raise RejectJob(reason, f"gave up after {failures} attempts; the last one: {error.message}")

    def _delay_s(self, failures: int, error: RetryJob) -> float:
        if error.delay_s is not None:
            return error.delay_s
        doubled_s: float = self._settings.backoff_s * 2 ** max(0, failures - 1)
        return min(self._settings.max_backoff_s, doubled_s) * self._rng.uniform(0.5, 1.0)


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are small enough to be kept, and as many of them as fit."""
    kept, room_bytes = dict[str, str](), _MAX_HEADERS_BYTES
    for name, value in sorted(headers.items(), key=lambda header: len(header[0]) + len(header[1])):
        room_bytes -= len(name.encode()) + len(value.encode())
        if room_bytes < 0:
            break
        kept[name] = value
    return kept


def unread_id(message: Message) -> str:
    """Stands for a job id where a body names none: a hash of its bytes and of the message's id."""
    return sha256(message.id.encode() + b"\0" + message.body).hexdigest()[:32]
