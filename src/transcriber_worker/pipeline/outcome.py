"""What came of one attempt at a message, as a value: logs and metrics are made from it, and the worker's next step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import PauseReason
from transcriber_worker.domain.job import Job
from transcriber_worker.observability.labels import Ending, Stage
from transcriber_worker.pipeline.progress import JobProgress
from transcriber_worker.pipeline.records import JobRecord


class Stopwatch:
    """Seconds by stage of one attempt. Used by one thread; `current` may be read by any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self.seconds: dict[Stage, float] = {}
        self.current = Stage.CLAIM

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count the block's time for a stage; after a failure `current` still says where it was."""
        self.current = stage
        begun = self._clock.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self._clock.monotonic() - begun

    @property
    def total_s(self) -> float:
        return self._clock.monotonic() - self._started


@dataclass(slots=True)
class Findings:
    """What is learnt about a job on its way, for its one log line and its metrics."""

    source_bytes: int = 0
    audio_s: float = 0.0
    speech_s: float = 0.0
    tokens: int = 0
    windows_waiting: int = 0
    """Cut and not yet heard, at this moment."""
    holes_found: int = 0
    holes_rescued: int = 0
    segments: int = 0
    words: int = 0
    language: str | None = None
    no_speech: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Outcome:
    """One attempt at one message, filled in by its thread as it goes."""

    watch: Stopwatch
    ending: Ending | None = None
    job: Job | None = None
    record: JobRecord | None = None
    """The claimed record as it was when the attempt began."""
    findings: Findings = field(default_factory=Findings)
    reason: str = ""
    message: str = ""
    down: PauseReason | None = None
    """The part of our environment that ended it."""
    unannounced: bool = False
    """Only its result event is missing."""
    error: BaseException | None = None
    """The unexpected exception behind a retry or a dead letter, for its traceback."""
    delay_s: float | None = None
    charged: bool = True
    """Whether a retry counts as the job's failure."""
    queue_wait_s: float | None = None
    publish_to_result_s: float | None = None
    total_s: float = 0.0
    progress: JobProgress | None = None
