"""One attempt at one message: read it, claim its job, make the journey, and whatever happens, end it as it must be
ended. Only `WorkerBroken` leaves here as an exception."""

from contextlib import suppress
from functools import partial

from transcriber_worker.brokers.base import Delivery
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import (
    EnvironmentDown,
    HandBack,
    IgnoreEvent,
    JobCancelled,
    LeaseLost,
    Reason,
    RejectJob,
    RetryJob,
    WorkerBroken,
)
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.events import parse_job
from transcriber_worker.messages.request import RequestRules
from transcriber_worker.observability.labels import Ending, Stage
from transcriber_worker.pipeline.claims import Claims, Refusal
from transcriber_worker.pipeline.endings import Endings, Unannounced
from transcriber_worker.pipeline.heartbeat import Heartbeat
from transcriber_worker.pipeline.journey import Journey, Source, Traveller
from transcriber_worker.pipeline.milestones import Milestone, Observer
from transcriber_worker.pipeline.outcome import Outcome
from transcriber_worker.pipeline.progress import JobProgress, Watcher
from transcriber_worker.pipeline.records import JobRecord, JobState
from transcriber_worker.settings import WorkerSettings


class Attempts:
    """Makes attempts for one worker. Thread-safe: each attempt runs on a thread of its own."""

    def __init__(
        self,
        rules: RequestRules,
        claims: Claims,
        journey: Journey,
        endings: Endings,
        heartbeat: Heartbeat,
        watcher: Watcher,
        observer: Observer,
        settings: WorkerSettings,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._claims = claims
        self._journey = journey
        self._endings = endings
        self._heartbeat = heartbeat
        self._watcher = watcher
        self._observer = observer
        self._settings = settings
        self._clock = clock

    def attend(self, delivery: Delivery, cancel: CancelToken, outcome: Outcome, *, alone: bool) -> None:
        """One attempt, from the message to its end, told to `outcome`. `alone`: nothing else runs in this worker
        meanwhile. Raises `WorkerBroken`, with nothing settled."""
        try:
            outcome.ending = self._attend(delivery, cancel, outcome, alone=alone)
        except EnvironmentDown as error:
            outcome.ending, outcome.message, outcome.down = Ending.ENVIRONMENT_DOWN, str(error), error.part
            outcome.unannounced = isinstance(error, Unannounced)
        except LeaseLost:
            outcome.ending = Ending.LEASE_LOST
            with suppress(EnvironmentDown):
                delivery.give_back(self._settings.look_again_s)
        finally:
            outcome.total_s = outcome.watch.total_s

    def _attend(self, delivery: Delivery, cancel: CancelToken, outcome: Outcome, *, alone: bool) -> Ending:
        message = delivery.message
        now = self._clock.now()
        # A publisher's clock, or a publisher, may say anything; a time to come would make every later request stale.
        published_at = min(now, message.published_at) if message.published_at is not None else now
        outcome.queue_wait_s = max(0.0, now - published_at)
        try:
            job = parse_job(message.body, message.headers, self._rules, published_at=published_at)
        except IgnoreEvent as error:
            return self._ignore(delivery, error, outcome)
        except RejectJob as error:
            return self._bury_unread(delivery, error, outcome)
        except RetryJob as error:
            return self._retry_unread(delivery, error, outcome, Reason.UNSUPPORTED_VERSION)
        outcome.job = job
        try:
            return self._attend_job(delivery, job, cancel, outcome, alone=alone)
        except (EnvironmentDown, LeaseLost, WorkerBroken):
            raise
        except Exception as error:  # a bug of ours outside the journey: bounded all the same
            outcome.error = error
            retry = RetryJob(f"unexpected {type(error).__name__}")
            return self._retry_unread(delivery, retry, outcome, Reason.TOO_MANY_ATTEMPTS)

    def _attend_job(
        self, delivery: Delivery, job: Job, cancel: CancelToken, outcome: Outcome, *, alone: bool
    ) -> Ending:
        with self._heartbeat.keeping(delivery, cancel), outcome.watch.stage(Stage.CLAIM):
            source = self._look(job)
            if isinstance(source, IgnoreEvent):
                return self._ignore(delivery, source, outcome)
            version = source.version if isinstance(source, Source) else None
            hidden = isinstance(source, RetryJob) and not source.charged
            missing = isinstance(source, RejectJob) and source.reason is Reason.SOURCE_NOT_FOUND
            gone = partial(self._journey.fingerprint, job) if missing else None
            claim = self._claims.acquire(job, delivery.message, version, alone=alone, hidden=hidden, gone=gone)
            if isinstance(claim, Refusal):
                return Ending.HELD_ELSEWHERE if claim is Refusal.HELD else Ending.MUST_RUN_ALONE
            if isinstance(claim, JobRecord):
                self._endings.repeat(delivery, job, claim)
                return Ending.ALREADY_DONE
        outcome.record = claim.record
        self._watcher.began(job, claim.record, claim.taken_from)
        told = partial(self._watcher.progress, job, claim.record)
        progress = outcome.progress = JobProgress(self._clock, self._settings.progress_s, told)
        with self._heartbeat.keeping(delivery, cancel, lambda: claim.renew(outcome.watch.current, progress.data)):
            trip = Traveller(
                job, claim, cancel, outcome.watch, outcome.findings, partial(self._observer, job.id), progress
            )
            try:
                return self._end(delivery, trip, source, outcome)
            except (EnvironmentDown, LeaseLost):
                # Of a lost message the claim may still be ours: left held, whoever has the message would think us dead.
                self._claims.let_go(claim)
                raise

    def _end(
        self, delivery: Delivery, trip: Traveller, source: Source | RejectJob | RetryJob, outcome: Outcome
    ) -> Ending:
        """Make the journey and see it to its end; every error has one consequence."""
        job, claim = trip.job, trip.claim
        try:
            self._travel(delivery, trip, source)
        except (EnvironmentDown, LeaseLost, WorkerBroken):
            raise
        except JobCancelled:
            self._endings.cancel(delivery, job, claim, trip.watch.current)
            return Ending.CANCELLED
        except HandBack:
            self._endings.hand_back(delivery, claim)
            return Ending.HANDED_BACK
        except RejectJob as error:
            return self._bury(delivery, trip, error, outcome)
        except RetryJob as error:
            return self._retry(delivery, trip, error, outcome)
        except Exception as error:  # a bug of ours: never lost, tried again within the bound
            outcome.error = error
            return self._retry(delivery, trip, RetryJob(f"unexpected {type(error).__name__}"), outcome)
        outcome.publish_to_result_s = max(0.0, self._clock.now() - job.requested_at)
        return Ending.COMPLETED

    def _travel(self, delivery: Delivery, trip: Traveller, source: Source | RejectJob | RetryJob) -> None:
        record = trip.claim.record
        trip.reached(Milestone.CLAIMED)
        if record.state is JobState.CANCELLING:
            raise JobCancelled
        if record.crashes >= self._settings.max_crashes:
            message = f"took the whole worker down {record.crashes} times while running alone: look at the file itself"
            raise RejectJob(Reason.TOO_MANY_CRASHES, message)
        if not isinstance(source, Source):
            raise source
        data = self._journey.run(trip, source)
        self._endings.complete(delivery, trip.job, trip.claim, data, trip.watch, trip.reached)

    def _look(self, job: Job) -> Source | IgnoreEvent | RejectJob | RetryJob:
        """The source as it is now. What is wrong with it is charged to the job once it is claimed."""
        try:
            return self._journey.look(job)
        except (IgnoreEvent, RejectJob, RetryJob) as error:
            return error

    def _bury(self, delivery: Delivery, trip: Traveller, error: RejectJob, outcome: Outcome) -> Ending:
        outcome.reason, outcome.message = error.reason, error.message
        self._endings.bury(delivery, trip.job, trip.claim, error, trip.watch.current)
        return Ending.DEAD_LETTERED

    def _retry(self, delivery: Delivery, trip: Traveller, error: RetryJob, outcome: Outcome) -> Ending:
        outcome.message, outcome.charged = error.message, error.charged
        try:
            outcome.delay_s = self._endings.retry(delivery, trip.claim, error, trip.watch.current)
        except RejectJob as final:
            return self._bury(delivery, trip, final, outcome)
        return Ending.RETRIED

    def _ignore(self, delivery: Delivery, error: IgnoreEvent, outcome: Outcome) -> Ending:
        outcome.reason = error.reason
        delivery.settle()
        return Ending.IGNORED

    def _bury_unread(self, delivery: Delivery, error: RejectJob, outcome: Outcome) -> Ending:
        outcome.reason, outcome.message = error.reason, error.message
        self._endings.bury_unread(delivery, error)
        return Ending.DEAD_LETTERED

    def _retry_unread(self, delivery: Delivery, error: RetryJob, outcome: Outcome, reason: Reason) -> Ending:
        outcome.message = error.message
        try:
            outcome.delay_s = self._endings.retry_unread(delivery, error, reason)
        except RejectJob as final:
            return self._bury_unread(delivery, final, outcome)
        return Ending.RETRIED
