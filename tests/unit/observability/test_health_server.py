"""The real server on a real socket: what probes and Prometheus see, and clients that misbehave."""

import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.observability.health import HealthState
from transcriber_worker.observability.health_server import HealthServer, probe
from transcriber_worker.observability.http_server import _MAX_CONNECTIONS, _DeadlineReader
from transcriber_worker.observability.labels import WorkerState
from transcriber_worker.observability.metrics import Metrics

LOCALHOST = "127.0.0.1"
PATIENCE_S = 30.0
"""Longer than anything here takes; a test that needs it fails."""


class Served:
    """A worker's health behind a listening server."""

    def __init__(self, stack: ExitStack, request_timeout_s: float = PATIENCE_S) -> None:
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.health = HealthState(self.clock, 600.0, Metrics(self.registry))
        server = HealthServer(self.health, self.registry, LOCALHOST, 0, request_timeout_s=request_timeout_s)
        self.server = stack.enter_context(server)

    def ask(self, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(LOCALHOST, self.server.port, timeout=PATIENCE_S)
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body, response.headers

    def connect(self) -> socket.socket:
        return socket.create_connection((LOCALHOST, self.server.port), timeout=PATIENCE_S)

    def url(self, path: str) -> str:
        return f"http://{LOCALHOST}:{self.server.port}{path}"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def served(stack: ExitStack) -> Served:
    return Served(stack)


def test_liveness_answers_503_and_why_once_stalled(served: Served) -> None:
    served.health.enter(WorkerState.RUNNING)
    served.health.job_began("a")
    assert served.ask("/livez")[0] == 200

    served.clock.advance(601)
    status, body, headers = served.ask("/livez")

    assert status == 503
    assert json.loads(body)["why"] == "1 jobs in flight and none has moved for 601 s (limit 600 s)"
    assert headers["Content-Type"] == "application/json"


def test_readiness_follows_the_state(served: Served) -> None:
    starting, body, _ = served.ask("/readyz")
    served.health.enter(WorkerState.RUNNING)
    running, _, _ = served.ask("/readyz?verbose=1")

    assert (starting, json.loads(body)) == (503, {"status": "not ready", "state": "starting"})
    assert running == 200


def test_metrics_are_served_as_prometheus_asks_for_them(served: Served) -> None:
    _, text, plain = served.ask("/metrics")
    _, openmetrics, negotiated = served.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert b'transcriber_worker_state{state="starting"} 1.0\n' in text
    assert plain["Content-Type"].startswith("text/plain")
    assert openmetrics.endswith(b"# EOF\n")
    assert negotiated["Content-Type"].startswith("application/openmetrics-text")


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/nowhere"])
def test_head_is_get_without_a_body(served: Served, path: str) -> None:
    with served.connect() as client:
        client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = client.makefile("rb").read().decode().partition("\r\n\r\n")
    status, full_body, _ = served.ask(path)

    assert body == ""
    assert f" {status} " in head.splitlines()[0]
    assert f"Content-Length: {len(full_body)}" in head.splitlines()


def test_other_paths_and_methods_are_refused(served: Served) -> None:
    assert served.ask("/")[0] == 404
    assert served.ask("/livez/../../etc/passwd")[0] == 404
    assert served.ask("/livez", "POST")[0] == 501


def test_a_collector_that_fails_costs_one_scrape(served: Served) -> None:
    class Broken(Collector):
        failing = False

        def collect(self) -> Iterable[Metric]:
            if self.failing:
                raise RuntimeError("secret detail")
            return ()

    broken = Broken()
    served.registry.register(broken)
    broken.failing = True

    status, body, _ = served.ask("/metrics")

    assert (status, body) == (500, b"internal error\n")
    assert served.ask("/livez")[0] == 200


def test_garbage_costs_one_connection(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    with served.connect() as client:
        client.sendall(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
        assert b"400" in client.recv(4096)
    with served.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n")

    assert served.ask("/livez")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_client_that_says_nothing_holds_nobody_up_and_is_dropped(stack: ExitStack) -> None:
    served = Served(stack, request_timeout_s=0.2)
    silent, slow = stack.enter_context(served.connect()), stack.enter_context(served.connect())
    slow.sendall(b"GET /livez HT")

    assert served.ask("/livez")[0] == 200

    assert silent.recv(1) == b""
    assert slow.recv(1) == b""


def test_a_client_that_drips_is_cut_off_at_the_deadline_of_the_whole_request() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"G")
        in_time, late = _DeadlineReader(ours, PATIENCE_S), _DeadlineReader(ours, 0.0)

        assert in_time.read(1) == b"G"
        theirs.sendall(b"E")
        with pytest.raises(TimeoutError):
            late.read(1)


def test_clients_that_hold_connections_cost_a_bounded_number_of_threads(served: Served, stack: ExitStack) -> None:
    held = [stack.enter_context(served.connect()) for _ in range(_MAX_CONNECTIONS)]
    one_too_many = stack.enter_context(served.connect())

    assert one_too_many.recv(1) == b""

    held.pop().close()
    slots = served.server._server._slots
    assert slots.acquire(timeout=PATIENCE_S)
    slots.release()
    assert served.ask("/livez")[0] == 200


def test_a_closed_server_listens_no_more(stack: ExitStack) -> None:
    served = Served(stack)
    served.server.close()

    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_a_server_that_never_started_can_be_closed() -> None:
    registry = CollectorRegistry()
    server = HealthServer(HealthState(ManualClock(), 600.0, Metrics(registry)), registry, LOCALHOST, 0)

    server.close()

    assert not probe(f"http://{LOCALHOST}:{server.port}/livez").ok


def test_a_port_that_is_taken_is_named_with_the_setting(served: Served) -> None:
    with pytest.raises(WorkerBroken, match=rf"{served.server.port}.*observability\.http_port"):
        HealthServer(served.health, served.registry, LOCALHOST, served.server.port)


def test_a_probe_tells_health_from_illness(served: Served) -> None:
    ill = probe(served.url("/readyz"))
    served.health.enter(WorkerState.RUNNING)
    well = probe(served.url("/readyz"))

    assert (ill.ok, ill.body["status"]) == (False, "not ready")
    assert (well.ok, well.body["status"]) == (True, "ready")


def test_a_probe_goes_past_any_proxy(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert probe(served.url("/livez")).ok


def test_no_answer_is_no_health(served: Served) -> None:
    served.server.close()

    verdict = probe(served.url("/livez"))

    assert (verdict.ok, verdict.body["status"]) == (False, "no answer")
    assert not probe("https://127.0.0.1/livez").ok
    assert not probe("nonsense").ok


def test_something_else_on_the_port_is_no_health() -> None:
    with socket.create_server((LOCALHOST, 0)) as stranger:
        stranger.settimeout(PATIENCE_S)
        port = stranger.getsockname()[1]
        assert not probe(f"http://{LOCALHOST}:{port}/livez", timeout_s=0.2).ok
