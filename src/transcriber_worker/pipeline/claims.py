"""Claims: one worker at a time has a job, decided by conditional writes to its record."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from transcriber_worker.brokers.base import Message
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, JobCancelled, LeaseLost
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.result import ProgressData, ResultEvent
from transcriber_worker.pipeline.records import TERMINAL, BrokenRecord, JobRecord, JobRecords, JobState, StoredRecord
from transcriber_worker.storage.base import ConditionFailed


class Refusal(StrEnum):
    """Why a job can't be claimed now."""

    HELD = "held"
    """Another worker has it, alive: look again later."""
    MUST_RUN_ALONE = "must_run_alone"
    """It was running when a worker died: claim it again when nothing else runs here."""


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """The source as it is now, and what a transcript of it would depend on."""

    etag: str
    modified_at: float
    fingerprint: str


FingerprintOf = Callable[[str], str]
"""What a transcript of this job would depend on, had the source this etag."""


class Claim:
    """A job held by this worker. Thread-safe: the heartbeat renews it while the job's own thread works.

    Every method raises `LeaseLost` when the record is somebody else's by now, and `renew` raises `JobCancelled` when a
    user wants the job stopped. Once `finish` or `release` has ended the claim, the others do nothing.
    """

    def __init__(
        self, records: JobRecords, record: JobRecord, etag: str, clock: Clock, taken_from: str | None = None
    ) -> None:
        self._records = records
        self.taken_from = taken_from
        """The worker that died with the job, if one did."""
        self._record = record
        self._etag = etag
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def record(self) -> JobRecord:
        return self._record

    @property
    def key(self) -> str:
        """Names this one claim of this one job."""
        return f"{self._record.job_id}.{self._record.token}"

    def renew(self, stage: str | None = None, progress: ProgressData | None = None) -> None:
        """Keep the claim for another lease and tell how far the job is."""
        record = self._swap(lambda record: record.model_copy(update={"stage": stage, "progress": progress}))
        if record.state is JobState.CANCELLING:
            raise JobCancelled("cancelled by a user")

    def verify(self, **changes: Any) -> None:
        """Prove, by a write to the record, that the job is still ours: done before anything visible is written."""
        self._swap(lambda record: record.model_copy(update=changes))

    def finish(self, state: JobState, event: Callable[[int], ResultEvent], **changes: Any) -> ResultEvent:
        """End the job for good. `event` makes the terminal event from the record's new revision; it is kept with the
        record so that it can be announced again just as it was. A cancellation that comes too late is overruled."""

        def ended(record: JobRecord) -> JobRecord:
            result = event(record.revision + 1)
            now = self._clock.now()
            end = {"state": state, "result": result, "finished_at": now, "stage": None, "progress": None}
            return _released(record, **end, suspect=False, **changes)

        result = self._swap(ended).result
        assert result is not None  # noqa: S101 - `ended` has just set it
        return result

    def release(self, **changes: Any) -> None:
        """Let another worker have the job: state queued, with `changes` such as a counted failure."""

        def queued(record: JobRecord) -> JobRecord:
            state = record.state if record.state is JobState.CANCELLING else JobState.QUEUED
            return _released(record, state=state, **changes)

        self._swap(queued)

    def _swap(self, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        with self._lock:
            while self._record.token is not None:
                wanted = change(self._record)
                wanted = wanted.model_copy(update={"beat": self._record.beat + 1})
                try:
                    self._etag = self._records.replace(wanted, self._etag).etag
                except ConditionFailed:
                    if self._adopt(wanted):
                        break
                else:
                    self._record = wanted
                    break
            return self._record

    def _adopt(self, wanted: JobRecord) -> bool:
        """Read what is there after a conflict. True: our own write had landed and only its answer was lost."""
        found = self._records.read(wanted.job_id)
        if found is not None and found.record == wanted:
            self._record, self._etag = wanted, found.info.etag
            return True
        if found is None:  # nobody removes the record of a running job: what we see is not our store
            raise EnvironmentDown(f"the record of job {wanted.job_id} is gone: is the state prefix mounted?")
        if found.record.token is None or found.record.token != self._record.token:
            raise LeaseLost
        self._record, self._etag = found.record, found.info.etag
        return False


class Claims:
    """Takes jobs for one worker."""

    def __init__(self, records: JobRecords, worker_id: str, lease_s: float, clock: Clock) -> None:
        self._records = records
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._clock = clock
        self._own: set[str | None] = set()
        """Tokens of this process's claims: one that expired was not left behind by a death, whatever delayed us."""
        self._let_go: set[str | None] = set()
        """Those that were given up while the store could not be told."""

    def acquire(
        self,
        job: Job,
        message: Message,
        source: SourceVersion | None,
        *,
        alone: bool,
        hidden: bool = False,
        gone: FingerprintOf | None = None,
    ) -> Claim | JobRecord | Refusal:
        """Take a job. Returns the claim; or the record of a job that has already ended as this message asks, to be
        announced again; or why it can't be had now.

        `source`: None where it can't be seen; `hidden`: it may be seen again soon; `gone`: it is there no more.
        `alone`: nothing else runs in this worker, nor will while this job does.
        """
        try:
            found = self._records.read(job.id)
        except BrokenRecord as broken:
            if broken.fresh(self._lease_s):
                return Refusal.HELD  # a newer release's, perhaps, and its worker alive
            first = self._first(job, message, source, alone=alone)
            return self._write(first.model_copy(update={"lettered": True}), broken.info.etag)
        if found is None:
            return self._write(self._first(job, message, source, alone=alone), None)
        if found.held and found.record.token not in self._let_go:
            return Refusal.HELD
        if _answers(found.record, job, message, source, gone):
            return self._answer(found, message, job.request_id)
        if hidden and found.record.state is JobState.DONE:
            return Refusal.HELD  # whether this message asks for anything new can only be told from the source
        record = self._next(found, job, message, source, alone=alone)
        if record.suspect and not alone and record.state is not JobState.CANCELLING:
            return Refusal.MUST_RUN_ALONE
        return self._write(record, found.info.etag, found.record.owner if self._died(found.record) else None)

    def let_go(self, claim: Claim) -> None:
        """Our environment is down: nothing is counted, the message stays ours. Where the store can't be told, this
        worker remembers, so that it does not take itself for one that died."""
        token = claim.record.token
        try:
            claim.release()
        except EnvironmentDown:
            self._let_go.add(token)
        except LeaseLost:
            return

    def _answer(self, found: StoredRecord, message: Message, request_id: str) -> JobRecord | Refusal:
        """The ended job's record, now saying that it answers this message too, for whoever waits for it."""
        if found.record.message_id == message.id:
            return found.record
        record = found.record.model_copy(update={"message_id": message.id, "beat": found.record.beat + 1})
        if request_id:
            self._records.link_request(request_id, record.job_id)
        try:
            self._records.replace(record, found.info.etag)
        except ConditionFailed:
            return Refusal.HELD
        return record

    def _write(self, record: JobRecord, etag: str | None, taken_from: str | None = None) -> Claim | Refusal:
        if record.request_id:
            self._records.link_request(record.request_id, record.job_id)
        try:
            info = self._records.create(record) if etag is None else self._records.replace(record, etag)
        except ConditionFailed:
            found = self._records.read(record.job_id)
            if found is None or found.record != record:
                return Refusal.HELD
            info = found.info  # our own write had landed and only its answer was lost
        self._own.add(record.token)
        return Claim(self._records, record, info.etag, self._clock, taken_from)

    def _died(self, record: JobRecord) -> bool:
        """Whether the record, which nobody holds, was left behind by a worker that ended without letting go of it."""
        return record.state not in TERMINAL and record.token is not None and record.token not in self._own

    def _first(self, job: Job, message: Message, source: SourceVersion | None, *, alone: bool) -> JobRecord:
        return JobRecord(
            job_id=job.id,
            name=job.name,
            state=JobState.RUNNING,
            attempts=1,
            **self._hold(job, message, source, alone=alone),
        )

    def _next(
        self, found: StoredRecord, job: Job, message: Message, source: SourceVersion | None, *, alone: bool
    ) -> JobRecord:
        """The record as this worker's: a job started afresh, tried again, or taken over from a worker that died."""
        old = found.record
        if old.state in TERMINAL:
            fresh = self._first(job, message, source, alone=alone)
            kept = {"revision": old.revision + 1, "beat": old.beat + 1, "lettered": old.lettered}
            return fresh.model_copy(update=kept)
        died = self._died(old)
        return old.model_copy(
            update={
                "state": JobState.CANCELLING if old.state is JobState.CANCELLING else JobState.RUNNING,
                "revision": old.revision + 1,
                "beat": old.beat + 1,
                "attempts": old.attempts + 1,
                "crashes": old.crashes + (1 if died and old.alone else 0),
                "suspect": old.suspect or died,
                **self._hold(job, message, source, alone=alone),
            }
        )

    def _hold(self, job: Job, message: Message, source: SourceVersion | None, *, alone: bool) -> dict[str, Any]:
        return {
            "request_id": job.request_id,
            "requested_at": job.requested_at,
            "message_id": message.id,
            "fingerprint": source.fingerprint if source else None,
            "source_etag": source.etag if source else None,
            "source_modified_at": source.modified_at if source else None,
            "owner": self._worker_id,
            "token": uuid.uuid4().hex[:16],
            "lease_s": self._lease_s,
            "alone": alone,
            "started_at": self._clock.now(),
        }


def _answers(
    record: JobRecord, job: Job, message: Message, source: SourceVersion | None, gone: FingerprintOf | None
) -> bool:
    """Whether an ended job is the answer to this message, so that only the announcement is due again.

    A message published anew after a failure or a cancellation asks for another try; after a success only if the
    source, the options or the model have changed, and not where the message is older than what was done.
    """
    if record.state is not JobState.DONE:
        return record.state in TERMINAL and record.message_id == message.id
    if record.message_id == message.id:
        return True
    if source is None and gone is not None and record.source_etag is not None:
        return gone(record.source_etag) == record.fingerprint  # the transcript is all that is left of it
    if source is None:
        return False  # whether the record answers a message that it has not seen can't be told now
    if source.fingerprint == record.fingerprint:
        written = record.result.data.outputs if record.result is not None else {}
        return all(format_.value in written for format_ in job.formats)
    return job.requested_at < record.requested_at


def _released(record: JobRecord, **changes: Any) -> JobRecord:
    update = {"owner": None, "token": None, "lease_s": 0.0, "alone": False, "revision": record.revision + 1, **changes}
    return record.model_copy(update=update)
