"""HTTP/1.1 over sockets, a thread for each connection. Not http.server, which hides the connection and the raw path."""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping

from tests.oci_emulator.delivery import reset
from tests.oci_emulator.wire import Request, ServiceFault, parsed_target

_MAX_HEAD_BYTES = 65_536
_CHUNK_BYTES = 1 << 18

Answering = Callable[[socket.socket, Request], bool]
"""Answers one request over its connection; whether the connection can be used again."""
Refusing = Callable[[socket.socket, ServiceFault], None]


class Disconnected(Exception):
    """The peer is gone."""


class Listener:
    """Accepts connections on 127.0.0.1 until told otherwise. `answer` is called in the connection's own thread."""

    def __init__(self, port: int, now: Callable[[], float], answer: Answering, refuse: Refusing) -> None:
        # Bound, never listening: while the service is down nobody else gets the port, and connections are refused.
        self._holder = _bound(port)
        self.port: int = self._holder.getsockname()[1]
        self._now = now
        self._answer = answer
        self._refuse = refuse
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._connections: set[socket.socket] = set()

    def up(self) -> None:
        """Accept connections; nothing if it does already."""
        with self._lock:
            if self._listening is not None:
                return
            self._listening = listening = _bound(self.port)
            listening.listen(256)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and reset those that are open."""
        with self._lock:
            listening, self._listening = self._listening, None
            connections = list(self._connections)
        if listening is not None:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for connection in connections:
            # Not closed here: the descriptor belongs to its thread, which wakes up by this.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def is_up(self) -> bool:
        return self._listening is not None

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        incoming = _Incoming(connection)
        try:
            while self.is_up and self._serve_one(connection, incoming):
                pass
        except (Disconnected, OSError):
            pass
        except ServiceFault as fault:
            with contextlib.suppress(OSError):
                self._refuse(connection, fault)
        finally:
            with self._lock:
                self._connections.discard(connection)
            if self.is_up:
                connection.close()
            elif connection.fileno() >= 0:
                reset(connection)

    def _serve_one(self, connection: socket.socket, incoming: "_Incoming") -> bool:
        head = incoming.until(b"\r\n\r\n", _MAX_HEAD_BYTES)
        method, target, headers = _parsed_head(head)
        body = _body(method, headers, connection, incoming)
        parts, query = parsed_target(target)
        request = Request(method, target, parts, query, headers, body, self._now())
        return self._answer(connection, request) and headers.get("connection", "").lower() != "close"


class _Incoming:
    """Bytes that a connection brings; requests may follow each other without a pause."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def until(self, end: bytes, limit_bytes: int) -> bytes:
        """Up to `end`, which is taken off; raises `Disconnected`, `ServiceFault`."""
        searched = 0
        while (found := self._buffer.find(end, searched)) < 0:
            if len(self._buffer) > limit_bytes:
                raise ServiceFault(400, "InvalidParameter", "The request's head is too long")
            searched = max(0, len(self._buffer) - len(end))
            self._more()
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return taken

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def holds(self, count: int) -> bool:
        return len(self._buffer) >= count

    def _more(self) -> None:
        received = self._connection.recv(_CHUNK_BYTES)
        if not received:
            raise Disconnected
        self._buffer += received


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _parsed_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ServiceFault(400, "InvalidParameter", "The request line is not HTTP/1.1")
    pairs = (line.partition(":") for line in lines[1:])
    return words[0], words[1], {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(method: str, headers: Mapping[str, str], connection: socket.socket, incoming: _Incoming) -> bytes:
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "")
    if method in ("PUT", "POST", "PATCH") and not chunked and not length.isdecimal():
        raise ServiceFault(411, "ContentLengthRequired", "The Content-Length header is missing")
    count = int(length) if length.isdecimal() else 0
    if headers.get("expect", "").lower() == "100-continue" and not incoming.holds(max(1, count)):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    return _chunks(incoming) if chunked else incoming.exactly(count)


def _chunks(incoming: _Incoming) -> bytes:
    body = bytearray()
    while size := _chunk_size(incoming.until(b"\r\n", 1024)):
        body += incoming.exactly(size)
        incoming.exactly(2)
    while incoming.until(b"\r\n", 1024):
        pass  # trailers
    return bytes(body)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise ServiceFault(400, "InvalidParameter", "The body is not well chunked") from None
