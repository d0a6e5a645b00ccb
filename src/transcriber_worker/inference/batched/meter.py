"""What the batching engine tells of itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from transcriber_worker.domain.clock import Clock
from transcriber_worker.observability.labels import EnginePhase, Retry
from transcriber_worker.observability.metrics import Metrics


class Meter:
    """Counts batches, what they took, and what had to be done again. Thread-safe."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    @contextmanager
    def phase(self, phase: EnginePhase) -> Iterator[None]:
        """Count the block's time for a phase of a batch."""
        begun = self._clock.monotonic()
        try:
            yield
        finally:
            self._metrics.engine_phase_seconds.labels(phase.value).inc(self._clock.monotonic() - begun)

    def batch(self, rows: int, cap: int, waited_s: float) -> None:
        """A batch begins: its rows, how many it could have had, how long its oldest row waited."""
        self._metrics.batch_rows.observe(rows)
        self._metrics.batch_fill.observe(min(1.0, rows / cap))
        self._metrics.batch_wait_seconds.observe(waited_s)

    def tokens(self, count: int) -> None:
        """Text tokens that a batch was decoded to."""
        self._metrics.engine_tokens.inc(count)

    def queue(self, rows: int) -> None:
        """How many rows wait now."""
        self._metrics.batch_queue_rows.set(rows)

    def cap(self, rows: int) -> None:
        """How many rows a batch may have now."""
        self._metrics.batch_cap.set(rows)

    def out_of_memory(self) -> None:
        self._metrics.out_of_memory.inc()

    def again(self, retry: Retry) -> None:
        """A stretch of audio is decoded once more."""
        self._metrics.window_retries.labels(retry.value).inc()

    def holes(self, found: int, rescued: int) -> None:
        """Stretches of speech that got no words at first, and how many of them got some then."""
        self._metrics.holes_found.inc(found)
        self._metrics.holes_rescued.inc(rescued)
