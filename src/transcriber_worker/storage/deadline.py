"""How long a download may take, whatever a host does: it holds a job's slot meanwhile."""

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import RetryJob


class Deadline:
    """Begins with its making. `timeout_s`: seconds."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._end = clock.monotonic() + timeout_s

    def check(self) -> None:
        """Raises `RetryJob`, charged to the job, once the time is over."""
        if self._clock.monotonic() > self._end:
            raise RetryJob(f"the download took longer than storage.download_timeout_s ({self._timeout_s:g})")
