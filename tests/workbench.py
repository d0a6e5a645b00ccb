"""A whole worker's pipeline on a temporary directory and a clock that stands still: the real spool, store, records and
fake engine; only the media child is replaced, by a reader that does what the source file's own content says."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.builders import make_settings
from transcriber_worker.brokers.base import Broker, Delivery
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.domain.audio import MediaInfo, MediaReport, Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.domain.job import Format, Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.inference.fake import FakeEngine
from transcriber_worker.media.base import MediaRequest, MediaStream
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.attempt import Attempts
from transcriber_worker.pipeline.claims import Claims
from transcriber_worker.pipeline.endings import Endings
from transcriber_worker.pipeline.heartbeat import Heartbeat
from transcriber_worker.pipeline.journey import Journey
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.outcome import Outcome, Stopwatch
from transcriber_worker.pipeline.outputs import Outputs
from transcriber_worker.pipeline.places import Places
from transcriber_worker.pipeline.progress import JobProgress, Watcher
from transcriber_worker.pipeline.records import JobRecord, JobRecords
from transcriber_worker.pipeline.scratch import Scratch
from transcriber_worker.pipeline.sources import Sources
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.tools.submitting import Source, Submitted, Submitter
from transcriber_worker.transcript.document import TranscriptDocument

WINDOW_S = 10.0

FAULTS: dict[bytes, Callable[[], Exception]] = {
    b"unreadable": lambda: RejectJob(Reason.MEDIA_UNREADABLE, "no demuxer knows this file"),
    b"flaky": lambda: RetryJob("the reader was killed from outside"),
    b"bug": lambda: ZeroDivisionError("a bug of ours"),
    b"outage": lambda: EnvironmentDown("the scratch disk is gone"),
    b"broken": lambda: WorkerBroken("the accelerator fell off the bus"),
}


class ScriptedReader:
    """A `MediaReader`: a source that holds a number is that many windows of speech; one that holds a fault's name fails
    with it."""

    def open(self, request: MediaRequest) -> MediaStream:
        content = request.path.read_bytes()
        if content in FAULTS:
            raise FAULTS[content]()
        return _ScriptedStream(int(content), request.cancel)

    def close(self) -> None: ...


@dataclass
class _ScriptedStream:
    windows_left: int
    cancel: CancelToken
    made: int = 0

    @property
    def info(self) -> MediaInfo:
        return MediaInfo("wav", "pcm_s16le", 1, 16_000, (self.windows_left + self.made) * WINDOW_S)

    def windows(self) -> Iterator[Window]:
        while self.windows_left:
            self.cancel.raise_if_cancelled()
            start_s = self.made * WINDOW_S
            core = Span(start_s, start_s + WINDOW_S)
            yield Window(self.made, None, core, start_s, np.zeros(160_000, np.int16), (core,))
            self.made += 1
            self.windows_left -= 1

    @property
    def report(self) -> MediaReport:
        return MediaReport(self.made * WINDOW_S, self.made * WINDOW_S, self.made * WINDOW_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class Unwatched:
    """A `Watcher` that does not care."""

    def began(self, job: Job, record: JobRecord, taken_from: str | None) -> None: ...

    def progress(self, job: Job, record: JobRecord, progress: JobProgress, /) -> None: ...


@dataclass
class Workbench:
    """One spool with its stores; `worker` gives the attempts of as many workers as a test wants."""

    folder: Path
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    milestones: list[tuple[str, Milestone]] = field(default_factory=list)
    on_milestone: Callable[[Milestone], None] = lambda milestone: None
    watcher: Watcher = field(default_factory=Unwatched)
    carrier: Broker | None = None
    """Another broker than the spool."""

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.settings = make_settings(self.folder, **self.changes)
        self.places = Places.of(self.settings)
        self.store = DirectoryStore(self.clock, 1.0, self.places.all)
        spool = DirectoryBroker(self.settings.broker.directory, self.clock)
        self.broker: Broker = self.carrier or spool
        self.records = JobRecords(self.store, self.places.state)
        self.engine = FakeEngine(self.settings.engine, self.clock)
        self.info = self.engine.start()
        rules = self.places.rules
        self.submitter = Submitter(self.broker, self.records, rules, spool.place, self.clock)

    def close(self) -> None:
        self.engine.close()
        self.broker.close()

    def heartbeat(self) -> Heartbeat:
        """One that beats when the test says so."""
        return Heartbeat(3600.0, SystemClock(), lambda: None, lambda error: None)

    def claims(self, name: str = "w1") -> Claims:
        return Claims(self.records, name, self.settings.worker.lease_s, self.clock)

    def endings(self, name: str = "w1") -> Endings:
        state = self.places.state
        rng = random.Random(7)
        return Endings(self.broker, self.store, self.records, state, self.settings.worker, name, self.clock, rng)

    def journey(self, name: str = "w1") -> Journey:
        scratch = Scratch(self.settings.worker.scratch_dir, name, self.clock)
        outputs = Outputs(self.store, self.settings.transcript)
        reader = ScriptedReader()
        ahead = Lookahead(2, 2, 0)
        return Journey(
            self.sources(), outputs, reader, self.engine, self.info, scratch, self.settings, ahead, self.clock
        )

    def sources(self) -> Sources:
        places, storage = self.places, self.settings.storage
        return Sources(self.store, places.rules.sources, places.state, storage, self.clock)

    def worker(self, name: str = "w1", heartbeat: Heartbeat | None = None) -> Attempts:
        """The attempts of one worker."""
        return Attempts(
            self.places.rules,
            self.claims(name),
            self.journey(name),
            self.endings(name),
            heartbeat or self.heartbeat(),
            self.watcher,
            self._observe,
            self.settings.worker,
            self.clock,
        )

    def submit(self, content: bytes = b"2", name: str = "call.wav", **options: Any) -> Submitted:
        """Publish a request for a source with this content."""
        path = self.folder / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # the shelf holds a link to it, which must keep its content
        path.write_bytes(content)
        return self.resubmit(name, **options)

    def resubmit(self, name: str = "call.wav", **options: Any) -> Submitted:
        """Publish a request for a source that was submitted before, as it is."""
        path = self.folder / "recordings" / name
        return self.submitter.submit(Source(str(path), path, name), options)

    def delivery(self) -> Delivery:
        """The next message."""
        (delivery,) = self.broker.receive(1, 0.0)
        return delivery

    def attend(
        self,
        delivery: Delivery | None = None,
        worker: Attempts | None = None,
        *,
        alone: bool = False,
        cancel: CancelToken | None = None,
    ) -> Outcome:
        """One attempt at the next message."""
        outcome = Outcome(Stopwatch(self.clock))
        attempts = worker or self.worker()
        attempts.attend(delivery or self.delivery(), cancel or CancelToken(), outcome, alone=alone)
        return outcome

    def endings_until_settled(self, limit: int = 20) -> list[Ending | None]:
        """Attend the one message there is, over all its delays, until nothing is delivered any more."""
        endings: list[Ending | None] = []
        while len(endings) < limit:
            self.clock.advance(self.settings.worker.max_backoff_s + 1)
            deliveries = self.broker.receive(1, 0.0)
            if not deliveries:
                return endings
            endings.append(self.attend(deliveries[0]).ending)
        raise AssertionError(f"still delivered after {limit} attempts: {endings}")

    def record(self, submitted: Submitted) -> JobRecord:
        found = self.records.read(submitted.job.id)
        assert found is not None
        return found.record

    def transcript(self, submitted: Submitted) -> TranscriptDocument:
        return TranscriptDocument.from_bytes(self.output(submitted, Format.JSON))

    def output(self, submitted: Submitted, format_: Format) -> bytes:
        return self.store.read(submitted.job.output_for(format_))[0]

    def results(self) -> list[str]:
        """The ids of all announced events, by file."""
        return [path.stem for path in self.result_files()]

    def result_files(self) -> list[Path]:
        return sorted((self.folder / "spool" / "results").glob("*.json"))

    def queue_is_empty(self) -> bool:
        """Whether nothing is left to be delivered, now or ever."""
        self.clock.advance(10 * self.settings.worker.max_backoff_s)
        return not self.broker.receive(1, 0.0)

    def uri(self, text: str) -> ObjectUri:
        return ObjectUri.parse(text)

    def _observe(self, job_id: str, milestone: Milestone, /) -> None:
        self.milestones.append((job_id, milestone))
        self.on_milestone(milestone)
