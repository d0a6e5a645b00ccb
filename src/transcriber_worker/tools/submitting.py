"""Submitting requests: checked before they are sent, and findable from the moment they are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.request import RequestRules, to_job, validate_request
from transcriber_worker.pipeline.records import JobRecord, JobRecords, JobState
from transcriber_worker.storage.base import ConditionFailed


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request on its way."""

    job: Job
    message_id: str


class Submitter:
    """Sends requests through a broker. `shelve` puts a local file where workers may read it; None: local files can't be
    submitted."""

    def __init__(
        self,
        broker: Broker,
        records: JobRecords,
        rules: RequestRules,
        shelve: Callable[[Path, str], ObjectUri] | None,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._records = records
        self._rules = rules
        self._shelve = shelve
        self._clock = clock

    def submit(self, source: str, options: Mapping[str, Any]) -> Submitted:
        """Send one request for a URI or a local file; raises `RejectJob` for what the workers would refuse."""
        uri = source if "://" in source else str(self._place(Path(source)))
        fields = {"version": 1, "source": uri, **options}
        job = to_job(validate_request(fields), self._rules, published_at=self._clock.now())
        self._announce_itself(job)
        message_id = self._broker.publish(json.dumps(fields).encode(), {})
        return Submitted(job, message_id)

    def _place(self, path: Path) -> ObjectUri:
        if self._shelve is None:
            raise RejectJob(Reason.INVALID_REQUEST, "this broker has no place for local files: upload it, name its URI")
        if not path.is_file():
            raise RejectJob(Reason.SOURCE_NOT_FOUND, f"there is no file {path}")
        return self._shelve(path, shelf_name(path, Path.cwd()))

    def _announce_itself(self, job: Job) -> None:
        """Leave a record, so that `status` and `cancel` know the job before a worker does. A record that is there says
        more than this one would."""
        record = JobRecord(
            job_id=job.id,
            request_id=job.request_id,
            name=job.name,
            state=JobState.QUEUED,
            requested_at=job.requested_at,
        )
        try:
            self._records.create(record)
        except ConditionFailed:
            return
        finally:
            if job.request_id:
                self._records.link_request(job.request_id, job.id)


def shelf_name(path: Path, base: Path) -> str:
    """The name a local file gets: its path below the current directory, else its own name."""
    path = path.absolute()
    return str(path.relative_to(base)) if path.is_relative_to(base) else path.name
