"""One job's journey, from its claim to its outputs, as one function from top to bottom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.domain.audio import MediaInfo, MediaReport
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import IgnoreEvent, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.inference.base import EngineInfo, Listener, SpeechEngine
from transcriber_worker.media.base import MediaReader, MediaRequest, MediaStream
from transcriber_worker.messages.result import ResultData
from transcriber_worker.observability.labels import Stage
from transcriber_worker.pipeline.admission import Budget
from transcriber_worker.pipeline.announcements import result_data
from transcriber_worker.pipeline.claims import Claim, SourceVersion
from transcriber_worker.pipeline.listen import listen, refuse_great_loss
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Findings, Stopwatch
from transcriber_worker.pipeline.outputs import Outputs
from transcriber_worker.pipeline.progress import JobProgress
from transcriber_worker.pipeline.scratch import Scratch
from transcriber_worker.pipeline.sources import Sources
from transcriber_worker.settings import Settings
from transcriber_worker.storage.base import ConditionFailed, ObjectInfo
from transcriber_worker.transcript.assemble import HeardPart, assemble
from transcriber_worker.transcript.compose import compose, source_of
from transcriber_worker.transcript.document import Attempt, EngineIdentity, TranscriptDocument


@dataclass(frozen=True, slots=True)
class Source:
    """The source as it was when the job was claimed."""

    info: ObjectInfo
    version: SourceVersion


@dataclass(frozen=True, slots=True)
class Traveller:
    """One attempt at one job, and what is learnt on the way."""

    job: Job
    claim: Claim
    cancel: CancelToken
    watch: Stopwatch
    findings: Findings
    reached: Callable[[Milestone], None]
    progress: JobProgress


class Journey:
    """What every job travels with: stores, the media reader, the engine, budgets. Thread-safe."""

    def __init__(
        self,
        sources: Sources,
        outputs: Outputs,
        media: MediaReader,
        engine: SpeechEngine,
        info: EngineInfo,
        scratch: Scratch,
        settings: Settings,
        lookahead: Lookahead,
        clock: Clock,
    ) -> None:
        self._sources = sources
        self._outputs = outputs
        self._media = media
        self._engine = engine
        self._info = info
        self._scratch = scratch
        self._settings = settings
        self._lookahead = lookahead
        self._clock = clock
        self.scratch_bytes = Budget(settings.worker.max_scratch_bytes)
        self.audio_s = Budget(settings.worker.max_audio_s_in_flight)

    def look(self, job: Job) -> Source:
        """The source as it is now; raises what `Sources.look` does, `RejectJob` where it is too large, `IgnoreEvent`
        where an event speaks of another version: the event of the one that is there has come or will."""
        info = self._sources.look(job)
        if job.source_etag is not None and job.source_etag != info.etag:
            raise IgnoreEvent("superseded")
        limit = self._settings.storage.max_source_bytes
        if info.size_bytes > limit:
            message = f"the source has {info.size_bytes} bytes, more than storage.max_source_bytes ({limit})"
            raise RejectJob(Reason.SOURCE_TOO_LARGE, message)
        return Source(info, SourceVersion(info.etag, info.modified_at, self.fingerprint(job, info.etag)))

    def fingerprint(self, job: Job, etag: str) -> str:
        """What this worker's transcript of that version of the source depends on."""
        return job.fingerprint(etag, self._info.identity)

    def run(self, trip: Traveller, source: Source) -> ResultData:
        """Claim to outputs. What it writes is complete and final when it returns; the record, the announcement and the
        settlement are still to come. Raises the domain's errors."""
        with trip.watch.stage(Stage.CLAIM):
            document, etag = self._outputs.committed(trip.job)
        if document is None or not self._stands(document, trip.job, source):
            drafted = self._transcribe(trip, source)
            trip.reached(Milestone.ASSEMBLED)
            with trip.watch.stage(Stage.COMMIT):
                document = self._outputs.commit(trip.job, trip.claim, drafted, etag)
        trip.reached(Milestone.COMMITTED)
        with trip.watch.stage(Stage.RENDER):
            outputs = self._outputs.render(trip.job, trip.claim, document)
        trip.reached(Milestone.RENDERED)
        return self._result(trip, document, outputs)

    def _stands(self, document: TranscriptDocument, job: Job, source: Source) -> bool:
        """Whether the transcript there answers this job: a worker died after writing it, or it is a newer one."""
        if document.fingerprint == source.version.fingerprint:
            return True
        return document.requested_at.timestamp() > job.requested_at

    def _transcribe(self, trip: Traveller, source: Source) -> TranscriptDocument:
        with trip.watch.stage(Stage.ADMIT):
            room = self.scratch_bytes.acquire(source.info.size_bytes, trip.cancel)
        with room, self._scratch.folder(trip.claim.key) as folder:
            path = self._download(trip, source, folder)
            trip.reached(Milestone.DOWNLOADED)
            with trip.watch.stage(Stage.OPEN):
                stream = self._media.open(MediaRequest(path, trip.job.media, trip.cancel))
            with stream:
                trip.reached(Milestone.OPENED)
                return self._hear(trip, source, stream)

    def _download(self, trip: Traveller, source: Source, folder: Path) -> Path:
        path = folder / "source"  # a fixed name: the publisher's never reaches a path on this machine
        with trip.watch.stage(Stage.DOWNLOAD):
            try:
                self._sources.download(trip.job, path, source.info.etag)
            except ConditionFailed:
                raise RetryJob("the source changed while it was downloaded", delay_s=0.0) from None
        trip.findings.source_bytes = source.info.size_bytes
        trip.cancel.raise_if_cancelled()
        return path

    def _hear(self, trip: Traveller, source: Source, stream: MediaStream) -> TranscriptDocument:
        job, audio_s = trip.job, _audio_s(trip.job, stream.info)
        trip.progress.begin(audio_s, job.media.clip.start_s if job.media.clip else 0.0)
        with trip.watch.stage(Stage.ADMIT):
            room = self.audio_s.acquire(audio_s or 0.0, trip.cancel)
        deadline = job.requested_at + job.deadline_s if job.deadline_s else None
        listener = Listener(trip.claim.key, job.speech, trip.cancel, job.priority, deadline)
        with room, self._engine.open(listener) as hearing:
            parts = listen(
                stream,
                hearing,
                lookahead=self._lookahead,
                cancel=trip.cancel,
                watch=trip.watch,
                findings=trip.findings,
                reached=trip.reached,
                on_heard=lambda part: trip.progress.heard(part.core.end_s),
            )
        refuse_great_loss(parts, stream.report.speech_s)
        with trip.watch.stage(Stage.ASSEMBLE):
            assembled = assemble(parts, stream.report, job.speech, self._settings.transcript)
            self._note(trip, stream.report, parts)
            record, info, engine = trip.claim.record, source.info, self._info
            return compose(
                job,
                assembled,
                stream.info,
                stream.report,
                source=source_of(job, info.etag, info.size_bytes, info.modified_at),
                fingerprint=source.version.fingerprint,
                attempt=Attempt(number=record.attempts, worker=record.owner or "", id=record.token or ""),
                engine=EngineIdentity(
                    engine=engine.engine,
                    model=engine.model,
                    model_sha256=engine.model_sha256,
                    compute_type=engine.compute_type,
                    beam_size=engine.beam_size,
                    manner=engine.manner,
                ),
                timings={stage.value: seconds for stage, seconds in trip.watch.seconds.items()},
                created_at=self._clock.now(),
            )

    @staticmethod
    def _note(trip: Traveller, report: MediaReport, parts: Sequence[HeardPart]) -> None:
        findings = trip.findings
        findings.audio_s, findings.speech_s = report.end_s, report.speech_s
        trip.watch.seconds[Stage.DECODE] = report.decode_cpu_s
        trip.watch.seconds[Stage.DETECT] = report.detect_cpu_s
        findings.tokens = sum(part.heard.tokens for part in parts)
        findings.holes_found = sum(part.heard.holes_found for part in parts)
        findings.holes_rescued = sum(part.heard.holes_rescued for part in parts)

    @staticmethod
    def _result(trip: Traveller, document: TranscriptDocument, outputs: Mapping[Format, str]) -> ResultData:
        warnings = tuple(dict.fromkeys(warning.code for warning in document.warnings))
        findings = trip.findings
        findings.language, findings.warnings = document.language, warnings
        findings.no_speech, findings.segments = document.quality.no_speech, len(document.segments)
        findings.words = len(document.text.split())
        return result_data(
            trip.job,
            document.attempt.number,
            outputs={format_.value: uri for format_, uri in outputs.items()},
            language=document.language,
            audio_s=document.duration.audio_s,
            no_speech=document.quality.no_speech,
            warnings=warnings,
        )


def _audio_s(job: Job, info: MediaInfo) -> float | None:
    """How much of the file will be heard, as far as the file itself tells."""
    clip, duration_s = job.media.clip, info.duration_s
    if clip is None or duration_s is None:
        return duration_s
    return max(0.0, min(duration_s, clip.end_s) - clip.start_s)
