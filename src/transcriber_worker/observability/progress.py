"""How far a job is and how long it will take, for logs, records, events and progress bars."""

import threading
from collections import deque
from dataclasses import dataclass

from transcriber_worker.domain.clock import Clock

_RECENT = 32
"""Steps the rate is taken over: the load of the engine changes while a long file is heard."""
_WARM_UP_S = 2.0
"""Elapsed seconds below which a rate says nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a job."""

    audio_s: float | None
    """Length of the audio; None or 0 while nobody knows."""
    done_s: float
    """Audio dealt with, on the file's own timeline, silence included."""
    rate: float | None
    """Seconds of audio per second, lately; None while unknown."""

    @property
    def percent(self) -> float | None:
        """0 to 100, or None while the length is unknown."""
        if self.audio_s is None or self.audio_s <= 0:
            return None
        return min(100.0, 100.0 * self.done_s / self.audio_s)

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds to go; None while it can't be told."""
        if self.audio_s is None or self.audio_s <= 0 or not self.rate:
            return None
        return max(0.0, self.audio_s - self.done_s) / self.rate


class ProgressTracker:
    """Follows one job. Thread-safe: its thread advances it, the heartbeat's reads it.

    The first step only starts the clock: it carries the wait for the engine, the language detection and whatever the
    job began with, and says little about the steps to come.
    """

    def __init__(self, clock: Clock, audio_s: float | None) -> None:
        self._clock = clock
        self._audio_s = audio_s
        self._marks: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._lock = threading.Lock()

    def advance(self, done_s: float) -> None:
        """Everything up to `done_s` of the file is done; going back is ignored."""
        with self._lock:
            if not self._marks or done_s > self._marks[-1][1]:
                self._marks.append((self._clock.monotonic(), done_s))

    def now(self) -> Progress:
        """The present moment; while nothing moves, the rate falls and the estimate grows."""
        now = self._clock.monotonic()
        with self._lock:
            done_s = self._marks[-1][1] if self._marks else 0.0
            rate = self._rate(now)
        return Progress(self._audio_s, done_s, rate)

    def _rate(self, now: float) -> float | None:
        if len(self._marks) < 2:
            return None
        since, first_done_s = self._marks[0]
        elapsed_s = now - since
        if elapsed_s < _WARM_UP_S:
            return None
        return (self._marks[-1][1] - first_done_s) / elapsed_s
