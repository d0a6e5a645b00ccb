"""A small HTTP server for what a process knows of itself; whatever a client does, only its connection suffers."""

import io
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.observability import events
from transcriber_worker.observability.health import Verdict
from transcriber_worker.observability.logging import emit

REQUEST_TIMEOUT_S = 5.0
_MAX_CONNECTIONS = 32
_POLL_S = 0.1
"""How soon `close` is noticed."""
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str], Page]
"""Makes the answer to a GET; takes the client's Accept header. What it raises is a 500 without details."""


class HttpServer:
    """Answers GET and HEAD for `routes`, by path, from a daemon thread."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        host: str,
        port: int,
        *,
        section: str,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Listen on `host`:`port` (0: any free port), as the settings' `section` says; raises `WorkerBroken` where that
        can't be had."""
        try:
            self._server = _Server(host, port, routes, request_timeout_s)
        except (OSError, OverflowError) as error:
            raise WorkerBroken(
                f"can't listen on {host}:{port}: {error}; set {section}.http_host and {section}.http_port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True)

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


def verdict_page(verdict: Verdict) -> Page:
    """An answer to a probe: 200, or 503 with the reason."""
    return Page(200 if verdict.ok else 503, "application/json", json.dumps(verdict.body).encode() + b"\n")


def metrics_route(registry: CollectorRegistry) -> Route:
    """/metrics, in the format that the client prefers."""

    def page(accept: str) -> Page:
        encode, content_type = choose_encoder(accept)
        return Page(200, content_type, encode(registry))

    return page


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, routes: Mapping[str, Route], request_timeout_s: float) -> None:
        self.routes = dict(routes)
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
        page = self._page(urlsplit(self.path).path)
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _page(self, path: str) -> Page:
        route = self.server.routes.get(path)
        if route is None:
            return Page(404, _TEXT, f"there are {', '.join(self.server.routes)}\n".encode())
        try:
            return route(self.headers.get("Accept", ""))
        except Exception as error:
            emit(events.HEALTH_REQUEST_FAILED, exc_info=error)
            return Page(500, _TEXT, b"internal error\n")

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
