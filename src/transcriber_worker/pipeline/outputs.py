"""Writing what a job leaves behind. The transcript JSON is the commit point; the other formats are renderings of what
was committed, so that all outputs of a job always tell the same story."""

from collections.abc import Mapping

from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.pipeline.claims import Claim
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.storage.base import Condition, ConditionFailed, IfAbsent, IfMatch, ObjectNotFound, ObjectStore
from transcriber_worker.transcript.document import TranscriptDocument
from transcriber_worker.transcript.render import CONTENT_TYPES, render

_RACES = 5


class Outputs:
    """Reads, commits and renders transcripts. Thread-safe."""

    def __init__(self, store: ObjectStore, settings: TranscriptSettings) -> None:
        self._store = store
        self._settings = settings

    def committed(self, job: Job) -> tuple[TranscriptDocument | None, str | None]:
        """The transcript that is there already, and its etag, which a commit has to meet; something else than a
        transcript under its name has only an etag."""
        try:
            body, info = self._store.read(job.output_for(Format.JSON))
        except ObjectNotFound:
            return None, None
        try:
            return TranscriptDocument.from_bytes(body), info.etag
        except ValueError:
            return None, info.etag

    def commit(self, job: Job, claim: Claim, draft: TranscriptDocument, etag: str | None) -> TranscriptDocument:
        """Make `draft` the transcript, if what is there is still what the claim saw; the loser of a race goes on from
        the winner's. Returns the one that stands. Raises `LeaseLost` where the job is somebody else's by now."""
        uri, body = job.output_for(Format.JSON), draft.to_bytes()
        for _ in range(_RACES):
            claim.verify()
            condition = IfAbsent() if etag is None else IfMatch(etag)
            try:
                self._store.write(uri, body, CONTENT_TYPES[Format.JSON], condition)
            except ConditionFailed:
                there, etag = self.committed(job)
                if there is not None and there.fingerprint == draft.fingerprint:
                    return there
            else:
                return draft
        raise RetryJob("the transcript is being written by somebody else all the time")

    def render(self, job: Job, claim: Claim, document: TranscriptDocument) -> Mapping[Format, str]:
        """Write the other formats; returns every output's URI. A worker that was stopped between the proof of its claim
        and a write changes nothing: the write is bound to the version seen before the proof."""
        wanted = [format_ for format_ in job.formats if format_ is not Format.JSON]
        for _ in range(_RACES):
            seen = {format_: self._version(job, format_) for format_ in wanted}
            claim.verify()
            wanted = [format_ for format_ in wanted if not self._write(job, document, format_, seen[format_])]
            if not wanted:
                return {format_: str(job.output_for(format_)) for format_ in job.formats}
        raise RetryJob("the renderings are being written by somebody else all the time")

    def _version(self, job: Job, format_: Format) -> Condition:
        try:
            return IfMatch(self._store.head(job.output_for(format_)).etag)
        except ObjectNotFound:
            return IfAbsent()

    def _write(self, job: Job, document: TranscriptDocument, format_: Format, condition: Condition) -> bool:
        body = render(document, format_, self._settings)
        try:
            self._store.write(job.output_for(format_), body, CONTENT_TYPES[format_], condition)
        except ConditionFailed:
            return False
        return True
