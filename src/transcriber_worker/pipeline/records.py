"""Job records: the one truth about a job, in the worker's private state prefix, written by conditional put."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from transcriber_worker.domain.errors import EnvironmentDown, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.result import Failure, ProgressData, ResultEvent
from transcriber_worker.storage.base import IfAbsent, IfMatch, ObjectInfo, ObjectNotFound, ObjectStore


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Waiting for a worker: just submitted, to be tried again, or handed back."""
    RUNNING = "running"
    """A worker has it, as long as its lease lasts."""
    CANCELLING = "cancelling"
    """A user wants it stopped; whoever has it, or takes it next, stops it."""
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.DONE, JobState.DEAD, JobState.CANCELLED})


class JobRecord(BaseModel):
    """A job's state. `revision` counts state changes, `beat` every write."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    job_id: str
    request_id: str = ""
    name: str
    state: JobState
    revision: int = 1
    beat: int = 0
    owner: str | None = None
    token: str | None = None
    """This claim's own nonce: who holds the record is who knows it."""
    lease_s: float = 0.0
    """How long the claim outlives its last write, by the store's clock."""
    suspect: bool = False
    """It was running when a worker died: it runs alone until it has ended cleanly."""
    alone: bool = False
    """It is running alone, so if the worker dies now, this job is to blame."""
    lettered: bool = False
    """It was given up at some time: a dead letter of it may be there."""
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    message_id: str | None = None
    fingerprint: str | None = None
    source_etag: str | None = None
    source_modified_at: float | None = None
    requested_at: float
    started_at: float | None = None
    finished_at: float | None = None
    stage: str | None = None
    progress: ProgressData | None = None
    error: Failure | None = None
    timings: dict[str, float] = {}
    """Seconds by stage of the attempt that did it."""
    result: ResultEvent | None = None
    """The terminal event, kept to be announced again with the same id."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the store has it now."""

    record: JobRecord
    info: ObjectInfo

    @property
    def held(self) -> bool:
        """Whether a living worker has the job, by the store's clock."""
        record, info = self.record, self.info
        claimed = record.state in (JobState.RUNNING, JobState.CANCELLING) and record.token is not None
        # A record from further in the future than a lease is one from before the clock was set back.
        return claimed and abs(info.observed_at - info.modified_at) < record.lease_s


class BrokenRecord(ValueError):
    """What lies under a record's name is none that this release can read."""

    def __init__(self, job_id: str, info: ObjectInfo, problems: int) -> None:
        super().__init__(f"the record of job {job_id} is broken, or of a newer release: {problems} problems")
        self.info = info

    def fresh(self, lease_s: float) -> bool:
        """Whether it was written within the last `lease_s`, by the store's clock."""
        return self.info.observed_at < self.info.modified_at + lease_s


class JobRecords:
    """Reads and writes records below a private prefix. Thread-safe.

    Raises what the store raises, but whatever it has against an object below our own prefix is `EnvironmentDown`: no
    job is to blame for that.
    """

    def __init__(self, store: ObjectStore, prefix: ObjectUri) -> None:
        self._store = store
        self._prefix = prefix

    def read(self, job_id: str) -> StoredRecord | None:
        """The record of a job, if there is one; raises `BrokenRecord`."""
        try:
            with our_own():
                body, info = self._store.read(self._uri(job_id))
        except ObjectNotFound:
            return None
        try:
            return StoredRecord(JobRecord.model_validate_json(body), info)
        except ValidationError as error:
            raise BrokenRecord(job_id, info, error.error_count()) from None

    def create(self, record: JobRecord) -> ObjectInfo:
        """Write a job's first record; raises `ConditionFailed` where there is one."""
        return self._write(record, IfAbsent())

    def replace(self, record: JobRecord, etag: str) -> ObjectInfo:
        """Write the next version of a record; raises `ConditionFailed` where it is not the one that was seen."""
        return self._write(record, IfMatch(etag))

    def link_request(self, request_id: str, job_id: str) -> None:
        """Let `status` and `cancel` find a job by its publisher's id; the latest wins."""
        with our_own():
            self._store.write(self._request_uri(request_id), job_id.encode(), "text/plain")

    def forget(self, job_id: str) -> None:
        """Remove the record of a job that has ended and that nobody will ask for: its id is as new afterwards."""
        with our_own():
            self._store.delete(self._uri(job_id))

    def find(self, id_: str) -> StoredRecord | None:
        """The record of a job by its own id or by its request's."""
        found = self.read(id_) if _is_job_id(id_) else None
        if found is not None:
            return found
        try:
            job_id = self._store.read(self._request_uri(id_))[0].decode()
        except ObjectNotFound:
            return None
        return self.read(job_id)

    def all(self) -> Iterator[StoredRecord]:
        """Every job's record that can be read, in no order that means anything."""
        for uri in self._store.list(self._prefix.child("jobs/")):
            try:
                found = self.read(uri.basename.removesuffix(".json"))
            except BrokenRecord:
                continue
            if found is not None:
                yield found

    def _write(self, record: JobRecord, condition: IfAbsent | IfMatch) -> ObjectInfo:
        body = record.model_dump_json(exclude_defaults=True, indent=1).encode()
        with our_own():
            return self._store.write(self._uri(record.job_id), body, "application/json", condition)

    def _uri(self, job_id: str) -> ObjectUri:
        return self._prefix.child(f"jobs/{job_id}.json")

    def _request_uri(self, request_id: str) -> ObjectUri:
        return self._prefix.child(f"requests/{sha256(request_id.encode()).hexdigest()[:32]}")


@contextmanager
def our_own() -> Iterator[None]:
    try:
        yield
    except (RejectJob, RetryJob) as error:
        raise EnvironmentDown(f"job records: {error.message}") from error


def _is_job_id(text: str) -> bool:
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)
