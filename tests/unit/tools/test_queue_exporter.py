"""What the queue-exporter serves, asked over HTTP; with a real spool as the broker whose backlog it tells."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from tests.builders import make_settings
from transcriber_worker.brokers.base import Backlog, BacklogReader
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.brokers.directory_backlog import DirectoryBacklog
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability.backlog import BacklogCollector
from transcriber_worker.observability.http_server import HttpServer, metrics_route
from transcriber_worker.observability.metrics import BacklogMetrics
from transcriber_worker.settings import ExporterSettings
from transcriber_worker.tools import queue_exporter
from transcriber_worker.tools.queue_exporter import STUCK_S, QueueExporter

LOCALHOST = "127.0.0.1"
SETTINGS = ExporterSettings(interval_s=10.0, stale_s=60.0)


class Served:
    """An exporter behind its real server."""

    def __init__(self, reader: BacklogReader, clock: ManualClock) -> None:
        self.exporter = QueueExporter(reader, SETTINGS, clock)
        registry = CollectorRegistry()
        registry.register(BacklogCollector(self.exporter.figures))
        self.server = HttpServer(self.exporter.routes(metrics_route(registry)), LOCALHOST, 0, section="exporter")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOCALHOST, self.server.port, timeout=30.0)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def backlog(self) -> tuple[int, Any]:
        status, body = self.get("/v1/backlog")
        return status, json.loads(body)

    def gauges(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {sample.name: sample.value for family in families for sample in family.samples}


class Reader:
    """A `BacklogReader` that does what a test says."""

    def __init__(self, answer: Callable[[], Backlog]) -> None:
        self._answer = answer

    def read(self) -> Backlog:
        return self._answer()

    def close(self) -> None: ...


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def broker(tmp_path: Path, clock: ManualClock) -> DirectoryBroker:
    return DirectoryBroker(make_settings(tmp_path).broker.directory, clock)


@pytest.fixture
def served(tmp_path: Path, clock: ManualClock) -> Iterator[Served]:
    served = Served(DirectoryBacklog(make_settings(tmp_path).broker.directory, clock), clock)
    with served.server:
        yield served


def test_the_backlog_is_what_waits_and_what_a_worker_has(
    served: Served, broker: DirectoryBroker, clock: ManualClock
) -> None:
    """By what waits alone, the last long job would be scaled away under its worker."""
    for _ in range(3):
        broker.publish(b"{}", {})
    broker.receive(1, 0.0)
    served.exporter.look()
    clock.advance(2.5)

    assert served.backlog() == (
        200,
        {"backlog": 3, "waiting": 2, "in_flight": 1, "dead_letters": None, "age_s": 2.5},
    )
    assert served.gauges() == {
        "transcriber_backlog_known": 1,
        "transcriber_backlog_waiting_messages": 2,
        "transcriber_backlog_in_flight_messages": 1,
        "transcriber_backlog_age_seconds": 2.5,
    }
    assert served.get("/readyz")[0] == 200


def test_what_is_not_known_is_no_zero(served: Served) -> None:
    status, body = served.backlog()

    assert (status, body["status"]) == (503, "unknown")
    assert served.gauges() == {"transcriber_backlog_known": 0}
    assert served.get("/readyz")[0] == 503
    assert served.get("/livez")[0] == 200


def test_figures_outlive_a_short_outage_and_no_long_one(
    served: Served, broker: DirectoryBroker, clock: ManualClock, spool: Path
) -> None:
    broker.publish(b"{}", {})
    served.exporter.look()
    spool.rename(spool.with_name("unmounted"))

    clock.advance(SETTINGS.stale_s)
    served.exporter.look()
    assert served.backlog()[1]["backlog"] == 1

    clock.advance(0.1)
    status, body = served.backlog()
    assert (status, "the spool can't be used" in body["why"]) == (503, True)
    assert served.gauges() == {"transcriber_backlog_known": 0}
    assert served.get("/readyz")[0] == 503
    assert served.get("/livez")[0] == 200, "a restart would not bring the broker back"

    spool.with_name("unmounted").rename(spool)
    served.exporter.look()
    assert served.backlog()[0] == 200


def test_what_the_broker_itself_put_aside_is_told(clock: ManualClock) -> None:
    served = Served(Reader(lambda: Backlog(waiting=7, in_flight=0, dead_letters=2)), clock)
    with served.server:
        served.exporter.look()

        assert served.backlog()[1]["dead_letters"] == 2
        assert served.gauges()[BacklogMetrics.DEAD_LETTERS.name] == 2


@pytest.mark.parametrize("answer", [{"waiting": None, "in_flight": 0}, {"waiting": 1, "in_flight": -1}])
def test_half_an_answer_is_not_known(clock: ManualClock, answer: dict[str, Any]) -> None:
    served = Served(Reader(lambda: Backlog(**answer)), clock)
    with served.server:
        served.exporter.look()

        assert served.backlog()[0] == 503
        assert served.gauges() == {"transcriber_backlog_known": 0}
        assert served.get("/readyz")[0] == 503


def test_a_bug_does_not_end_the_only_one_who_can_wake_the_workers(clock: ManualClock) -> None:
    answers: list[Callable[[], Backlog]] = [lambda: Backlog(1 // 0, 0), lambda: Backlog(1, 2, 3)]

    def answer() -> Backlog:
        return answers.pop(0)()

    served = Served(Reader(answer), clock)
    with served.server:
        served.exporter.look()
        status, body = served.backlog()
        assert (status, body["why"]) == (503, "unexpected ZeroDivisionError")

        served.exporter.look()
        assert served.backlog()[1]["backlog"] == 3


def test_an_outage_is_one_line_and_its_end_another(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, object]] = []
    monkeypatch.setattr(
        queue_exporter, "emit", lambda event, **fields: lines.append((event.name, fields.get("reason")))
    )
    states = [True, True, False, False, False, True]

    def read() -> Backlog:
        if not states.pop(0):
            raise EnvironmentDown("no answer", PauseReason.CREDENTIALS)
        return Backlog(0, 0)

    exporter = QueueExporter(Reader(read), SETTINGS, clock)
    while states:
        exporter.look()

    assert lines == [("backlog.known", None), ("backlog.unknown", "credentials"), ("backlog.known", None)]


def test_it_looks_every_interval_until_it_is_stopped(clock: ManualClock) -> None:
    begun = clock.now()
    looks: list[float] = []

    def read() -> Backlog:
        looks.append(round(clock.now() - begun, 3))
        return Backlog(0, 0)

    QueueExporter(Reader(read), SETTINGS, clock).run(lambda: len(looks) == 4)

    assert looks == [0, 10, 20, 30]


def test_a_stop_is_noticed_between_two_looks(clock: ManualClock) -> None:
    begun = clock.now()

    QueueExporter(Reader(lambda: Backlog(0, 0)), SETTINGS, clock).run(lambda: clock.now() - begun >= 1)

    assert clock.now() - begun < 2


def test_a_look_that_hangs_fails_the_liveness_and_no_other(clock: ManualClock) -> None:
    seen: list[int] = []
    asking: list[Served] = []

    def hang() -> Backlog:
        for seconds in (STUCK_S, SETTINGS.interval_s + 1):
            clock.advance(seconds)
            seen.append(asking[0].get("/livez")[0])
        return Backlog(0, 0)

    asking.append(Served(Reader(hang), clock))
    with asking[0].server:
        asking[0].exporter.look()

        assert seen == [200, 503]
        assert asking[0].get("/livez")[0] == 200


def test_figures_must_outlive_the_pause_between_two_looks() -> None:
    with pytest.raises(ValidationError, match="stale_s must be greater"):
        ExporterSettings(interval_s=60.0, stale_s=60.0)
