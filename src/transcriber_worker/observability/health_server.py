"""Serves what the worker knows of itself to probes and to Prometheus, and asks another worker's."""

import http.client
import io
import json
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.observability import events
from transcriber_worker.observability.health import HealthState, Verdict
from transcriber_worker.observability.logging import emit

REQUEST_TIMEOUT_S = 5.0
_MAX_CONNECTIONS = 32
_POLL_S = 0.1
"""How soon `close` is noticed."""


class HealthServer:
    """Serves /livez, /readyz and /metrics from a daemon thread; whatever a client does, only its connection suffers."""

    def __init__(
        self,
        state: HealthState,
        registry: CollectorRegistry,
        host: str,
        port: int,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Listen on `host`:`port` (0: any free port); raises `WorkerBroken` where that can't be had."""
        try:
            self._server = _Server(host, port, state, registry, request_timeout_s)
        except (OSError, OverflowError) as error:
            raise WorkerBroken(
                f"can't listen on {host}:{port}: {error}; set observability.http_host and observability.http_port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()
        emit(events.HEALTH_LISTENING, address=f"{self._server.server_address[0]!s}:{self.port}")

    def close(self) -> None:
        """Stop listening; a request being answered is not waited for."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, state: HealthState, registry: CollectorRegistry, request_timeout_s: float
    ) -> None:
        self.state = state
        self.registry = registry
        self.request_timeout_s = request_timeout_s
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name, which can take seconds in a pod.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Clients that hold connections open must not cost more than so many threads."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """The base class prints to stderr, past the log pipeline."""
        emit(events.HEALTH_REQUEST_FAILED, exc_info=sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "transcriber-worker"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        # A timeout on each read lets a client that sends a byte now and then hold its thread forever.
        self.rfile.close()
        self.rfile = io.BufferedReader(_DeadlineReader(self.connection, self.server.request_timeout_s))

    def do_GET(self) -> None:
        status, content_type, body = self._answer(urlsplit(self.path).path)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        try:
            if path == "/livez":
                return _json(self.server.state.liveness())
            if path == "/readyz":
                return _json(self.server.state.readiness())
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                return 200, content_type, encode(self.server.registry)
        except Exception as error:
            emit(events.HEALTH_REQUEST_FAILED, exc_info=error)
            return 500, "text/plain; charset=utf-8", b"internal error\n"
        return 404, "text/plain; charset=utf-8", b"there are /livez, /readyz and /metrics\n"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Probes come every few seconds: none is worth a line."""


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline, however slowly it drips; raises `TimeoutError` then."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining_s)
        return self._connection.recv_into(buffer)


def _json(verdict: Verdict) -> tuple[int, str, bytes]:
    return 200 if verdict.ok else 503, "application/json", json.dumps(verdict.body).encode() + b"\n"


def probe(url: str, timeout_s: float = 3.0) -> Verdict:
    """Ask a worker's own /livez or /readyz, past any proxy; no answer is no health."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return Verdict(ok=False, body={"status": "not asked", "why": "write http://host:port/livez"})
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/livez")
        response = connection.getresponse()
        body = json.loads(response.read(65_536))
        return Verdict(response.status == 200, body if isinstance(body, dict) else {"status": str(body)})
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Verdict(ok=False, body={"status": "no answer", "why": f"{type(error).__name__}: {error}"})
    finally:
        connection.close()
