"""`queue-exporter`: tells Prometheus and KEDA how much is left to do, also while no worker runs. Asks the broker every
few seconds, takes no part in it, and would rather say nothing than a wrong number."""

import json
import threading
from collections.abc import Callable

from transcriber_worker.brokers.base import Backlog, BacklogReader
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.observability import events
from transcriber_worker.observability.backlog import Figures
from transcriber_worker.observability.health import Verdict
from transcriber_worker.observability.http_server import Page, Route, verdict_page
from transcriber_worker.observability.logging import emit
from transcriber_worker.settings import ExporterSettings

STOP_NOTICED_S = 0.2
STUCK_S = 180.0
"""A look at the broker that takes longer hangs: its own timeouts are shorter."""


def _counted(backlog: Backlog) -> Backlog:
    """Raises where a service left out a figure, or told one that can't be: then nothing is known."""
    if min(backlog.waiting, backlog.in_flight, backlog.dead_letters or 0) < 0:
        raise ValueError("fewer messages than none")
    return backlog


class QueueExporter:
    """Keeps the latest figures. `look` and `run` are for one thread; the rest is thread-safe."""

    def __init__(self, reader: BacklogReader, settings: ExporterSettings, clock: Clock) -> None:
        self._reader = reader
        self._settings = settings
        self._clock = clock
        self._latest: tuple[Backlog, float] | None = None
        self._failure = "the broker has not answered yet"
        self._told: bool | None = None
        self._turned_at = clock.monotonic()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Look every `interval_s` until `stopped`."""
        never = threading.Event()
        while not stopped():
            self.look()
            due = self._clock.monotonic() + self._settings.interval_s
            while not stopped() and (left_s := due - self._clock.monotonic()) > 0:
                self._clock.wait(never, min(STOP_NOTICED_S, left_s))

    def look(self) -> None:
        """Ask the broker once. Whatever goes wrong, the next look may go well."""
        self._turned_at = self._clock.monotonic()
        try:
            backlog = _counted(self._reader.read())
        except EnvironmentDown as error:
            self._failed(str(error), error.part.value)
        except Exception as error:  # a bug, which must not end the only one who can wake the workers
            emit(events.UNEXPECTED_ERROR, error=type(error).__name__, exc_info=error)
            self._failed(f"unexpected {type(error).__name__}", "unexpected")
        else:
            self._latest = backlog, self._clock.monotonic()
            if self._told is not True:
                emit(events.BACKLOG_KNOWN)
            self._told = True
        self._turned_at = self._clock.monotonic()

    def figures(self) -> Figures | None:
        """The latest figures; None where there are none, or none that are fresh enough."""
        latest = self._latest
        if latest is None:
            return None
        backlog, read_at = latest
        age_s = self._clock.monotonic() - read_at
        if age_s > self._settings.stale_s:
            return None
        return Figures(backlog.waiting, backlog.in_flight, backlog.dead_letters, max(0.0, age_s))

    def liveness(self) -> Verdict:
        """Alive as long as it goes on asking, whatever the broker answers."""
        idle_s = self._clock.monotonic() - self._turned_at
        if idle_s <= STUCK_S + self._settings.interval_s:
            return Verdict(ok=True, body={"status": "ok"})
        return Verdict(ok=False, body={"status": "stalled", "why": f"one look at the broker takes {idle_s:.0f} s"})

    def readiness(self) -> Verdict:
        """Ready while the figures are known."""
        if self.figures() is not None:
            return Verdict(ok=True, body={"status": "ready"})
        return Verdict(ok=False, body={"status": "not ready", "why": self._failure})

    def routes(self, metrics: Route) -> dict[str, Route]:
        """What an HTTP server answers."""
        return {
            "/metrics": metrics,
            "/v1/backlog": self._backlog_page,
            "/livez": lambda _accept: verdict_page(self.liveness()),
            "/readyz": lambda _accept: verdict_page(self.readiness()),
        }

    def _backlog_page(self, _accept: str) -> Page:
        figures = self.figures()
        if figures is None:
            return verdict_page(Verdict(ok=False, body={"status": "unknown", "why": self._failure}))
        return Page(200, "application/json", json.dumps(figures.as_json()).encode() + b"\n")

    def _failed(self, message: str, reason: str) -> None:
        self._failure = message
        if self._told is not False:
            emit(events.BACKLOG_UNKNOWN, reason=reason, message=message)
        self._told = False
