"""How far a job is: told to its record by the heartbeat, and now and then to the log and to whoever asked."""

from collections.abc import Callable
from typing import Protocol

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.result import ProgressData
from transcriber_worker.observability.progress import Progress, ProgressTracker
from transcriber_worker.pipeline.records import JobRecord


class JobProgress:
    """One job's progress. Written by the job's thread, read by the heartbeat's."""

    def __init__(self, clock: Clock, least_s: float, tell: Callable[["JobProgress"], None]) -> None:
        self._clock = clock
        self._least_s = least_s
        self._tell = tell
        self._offset_s = 0.0
        self._told = clock.monotonic()
        self._tracker = ProgressTracker(clock, None)
        self.count = 0
        """How often it was told."""

    def begin(self, audio_s: float | None, offset_s: float) -> None:
        """Hearing begins: `audio_s` to do (None: nobody knows), from `offset_s` of the file on."""
        self._offset_s = offset_s
        self._tracker = ProgressTracker(self._clock, audio_s)

    def heard(self, until_s: float) -> None:
        """The file is heard up to `until_s` of its own timeline."""
        self._tracker.advance(until_s - self._offset_s)
        if self._clock.monotonic() - self._told >= self._least_s:
            self._told = self._clock.monotonic()
            self.count += 1
            self._tell(self)

    @property
    def now(self) -> Progress:
        return self._tracker.now()

    @property
    def data(self) -> ProgressData | None:
        """For records and events; None where the file's length is unknown."""
        now = self.now
        if now.percent is None:
            return None
        eta_s = None if now.remaining_s is None else round(now.remaining_s, 1)
        return ProgressData(percent=round(now.percent, 1), eta_s=eta_s)


class Watcher(Protocol):
    """Told of every claimed job as it begins and goes on, in the job's own thread."""

    def began(self, job: Job, record: JobRecord, taken_from: str | None) -> None:
        """A claim was won. `taken_from`: the worker that died with the job, if one did."""
        ...

    def progress(self, job: Job, record: JobRecord, progress: JobProgress, /) -> None:
        """A long job has come further."""
        ...
