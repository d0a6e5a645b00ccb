"""Submitting requests: checked before they are sent, and findable from the moment they are."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri, redacted
from transcriber_worker.messages.request import RequestRules, to_job, validate_request
from transcriber_worker.pipeline.records import JobRecord, JobRecords, JobState
from transcriber_worker.storage.base import ConditionFailed


@dataclass(frozen=True, slots=True)
class Source:
    """Something to transcribe, as it was named: a URI, or a local file and the name it gets."""

    text: str
    file: Path | None = None
    name: str = ""


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
        self._sent: dict[str, Source] = {}

    def submit(self, source: Source, options: Mapping[str, Any]) -> Submitted:
        """Send one request; raises `RejectJob` for what the workers would refuse, and for a source whose transcript
        would replace that of another one sent before by this submitter."""
        job, fields = self._checked(source, options)
        return self._send(job, fields)

    def submit_once(self, source: Source, options: Mapping[str, Any]) -> Submitted | JobRecord:
        """Send one request, unless this method has sent one for the same transcript before: then what became of it.

        Whoever is interrupted at any point and starts again sends all, and at most one twice."""
        job, fields = self._checked(source, options)
        sent = self.sent_before(job)
        if sent is not None:
            return sent
        submitted = self._send(job, fields)
        # Not before: the job's own record is there from before it was sent, and so proves nothing.
        self._records.link_request(_mark(job), job.id)
        return submitted

    def sent_before(self, job: Job) -> JobRecord | None:
        """The record of a job that `submit_once` has sent."""
        found = self._records.find(_mark(job))
        return found.record if found is not None and found.record.job_id == job.id else None

    def check(self, source: Source, options: Mapping[str, Any]) -> Job | None:
        """What `submit` would send, or the `RejectJob` it would raise, without putting anything anywhere; None for a
        local file, whose job is known only once it lies where workers may read it."""
        if source.file is None:
            return self._checked(source, options)[0]
        validate_request({"source": "file:///", **options})
        self._shelf_for(source.file)
        return None

    def _checked(self, source: Source, options: Mapping[str, Any]) -> tuple[Job, dict[str, Any]]:
        if source.file is not None:
            validate_request({"source": "file:///", **options})  # before the file is put anywhere
        uri = source.text if source.file is None else str(self._shelf_for(source.file)(source.file, source.name))
        fields = {"version": 1, "source": uri, **options}
        job = to_job(validate_request(fields), self._rules, published_at=self._clock.now())
        other = self._sent.setdefault(job.id, source)
        if other != source:
            raise RejectJob(Reason.INVALID_REQUEST, f"its transcript would replace that of {redacted(other.text)}")
        return job, fields

    def _send(self, job: Job, fields: Mapping[str, Any]) -> Submitted:
        self._announce_itself(job)
        message_id = self._broker.publish(json.dumps(fields).encode(), {})
        return Submitted(job, message_id)

    def _shelf_for(self, path: Path) -> Callable[[Path, str], ObjectUri]:
        if self._shelve is None:
            raise RejectJob(Reason.INVALID_REQUEST, "this broker has no place for local files: upload it, name its URI")
        if not path.is_file():
            raise RejectJob(Reason.SOURCE_NOT_FOUND, f"there is no file {path}")
        return self._shelve

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


def _mark(job: Job) -> str:
    """Lies beside the requests' own ids: `sent:` and the job's id."""
    return f"sent:{job.id}"


def find_sources(named: Sequence[str], base: Path, hidden: Sequence[Path] = ()) -> list[Source]:
    """What a command line names: URIs, files, and folders, which become the files in them. Left out are hidden files
    and what lies below `hidden`; what is named twice counts once.

    Raises `RejectJob` for a folder without files, and where two different files would get one name.
    """
    sources: dict[str, Source] = {}
    for text in named:
        if "://" in text:
            sources[text] = Source(text)
            continue
        path = _absolute(text)
        files = _files_below(path, hidden) if path.is_dir() else [path]
        if not files:
            raise RejectJob(Reason.SOURCE_NOT_FOUND, f"there are no files in {text}")
        # Outside the current directory, a folder keeps its own structure, and a single file its bare name.
        outer = base if path.is_relative_to(base) else path.parent
        for file in files:
            sources.setdefault(str(file), Source(str(file), file, str(file.relative_to(outer))))
    refuse_collisions(sources.values())
    return list(sources.values())


def refuse_collisions(sources: Iterable[Source]) -> None:
    """Raises `RejectJob` where two different files would get one name."""
    by_name: dict[str, Source] = {}
    for source in sources:
        other = by_name.setdefault(source.name, source) if source.file else source
        if other.text != source.text:
            message = f"{other.text} and {source.text} would both be called {source.name}"
            raise RejectJob(Reason.INVALID_REQUEST, f"{message}: submit them from a directory above both")


def _files_below(folder: Path, hidden: Sequence[Path]) -> list[Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return [path for path in visible if not any(path.is_relative_to(_absolute(other)) for other in hidden)]


def _absolute(path: str | Path) -> Path:
    """Without `..`, but with symlinks as they are: the name a file was given is the name its transcript gets."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`
