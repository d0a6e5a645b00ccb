"""How an answer goes out over a connection, undisturbed or in one of the ways in which it does not arrive."""

import fcntl
import select
import socket
import struct
import termios
import threading
import weakref
from http import HTTPStatus

from tests.oci_emulator.application import Answer, Application
from tests.oci_emulator.faults import Fault, FaultKind
from tests.oci_emulator.wire import Request, Response, ServiceFault, fault_response

_NO_BODY = (204, 304)
_DRIPPED_BYTES = 16


def reset(connection: socket.socket) -> None:
    """End it with RST: what the peer has not read yet is lost, as from a machine that died."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Delivery:
    """Answers requests over connections; see `server.Listener`."""

    def __init__(self, application: Application, stopping: threading.Event) -> None:
        self._application = application
        self._stopping = stopping
        self._doomed: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def answer(self, connection: socket.socket, request: Request) -> bool:
        if connection in self._doomed:
            reset(connection)
            return False
        answer = self._application.answer(request)
        if answer.fault and answer.fault.kind is FaultKind.RESET_NEXT:
            self._doomed.add(connection)
        return deliver(connection, answer, head=request.method == "HEAD", stopping=self._stopping)


def refuse(connection: socket.socket, fault: ServiceFault) -> None:
    """Answer what is no proper request, after which its connection ends."""
    deliver(connection, Answer(fault_response(fault), None), head=False, stopping=threading.Event())


def deliver(connection: socket.socket, answer: Answer, *, head: bool, stopping: threading.Event) -> bool:
    """Send it; returns whether the connection can be used again (otherwise it was closed here). `head`: leave the
    body away. `stopping` ends every wait."""
    fault, response = answer.fault, answer.response
    if response is None:
        reset(connection)
        return False
    kind = fault.kind if fault else FaultKind.EFFECT
    body = b"" if head or response.status in _NO_BODY else response.body
    if fault is None or kind not in _DISTURBED:
        connection.sendall(_head(response, 0) + body)
    else:
        _DISTURBED[kind](connection, response, body, fault, stopping)
    if kind in _ENDING:
        connection.close()
        return False
    return True


def _head(response: Response, off_by: int) -> bytes:
    phrase = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.status not in _NO_BODY:
        lines.append(f"content-length: {max(0, len(response.body) + off_by)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _slow_headers(
    connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event
) -> None:
    _idle(connection, fault.seconds, stopping)
    connection.sendall(_head(response, 0) + body)


def _drip(connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event) -> None:
    connection.sendall(_head(response, 0))
    step = fault.at_bytes or _DRIPPED_BYTES
    for start in range(0, len(body), step):
        connection.sendall(body[start : start + step])
        if not _idle(connection, fault.seconds, stopping):
            return


def _stall(connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event) -> None:
    connection.sendall(_head(response, 0) + body[: fault.at_bytes])
    _idle(connection, fault.seconds, stopping)


def _cut(connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event) -> None:
    connection.sendall(_head(response, 0) + body[: fault.at_bytes])


def _cut_by_reset(
    connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event
) -> None:
    _cut(connection, response, body, fault, stopping)
    # What was sent must arrive first: RST throws away what still waits in the peer's or our buffers.
    _drained(connection, stopping)
    reset(connection)


def _wrong_length(
    connection: socket.socket, response: Response, body: bytes, fault: Fault, stopping: threading.Event
) -> None:
    connection.sendall(_head(response, fault.at_bytes) + body)


def _idle(connection: socket.socket, seconds: float, stopping: threading.Event) -> bool:
    """Let time pass, unless the peer leaves or the server stops; returns whether it passed."""
    pause = 0.05
    while seconds > 0 and not stopping.is_set():
        readable, _, _ = select.select([connection], [], [], min(pause, seconds))
        if readable and not connection.recv(1, socket.MSG_PEEK):
            return False
        if readable and stopping.wait(min(pause, seconds)):
            return False
        seconds -= pause
    return not stopping.is_set()


def _drained(connection: socket.socket, stopping: threading.Event) -> None:
    """Wait until the peer's kernel has everything that was sent."""
    unsent = struct.Struct("i")
    for _ in range(1000):
        buffer = bytearray(unsent.size)
        fcntl.ioctl(connection, termios.TIOCOUTQ, buffer)
        if unsent.unpack(buffer)[0] == 0 or stopping.wait(0.002):
            return


_DISTURBED = {
    FaultKind.SLOW_HEADERS: _slow_headers,
    FaultKind.DRIP: _drip,
    FaultKind.STALL: _stall,
    FaultKind.RESET_BODY: _cut_by_reset,
    FaultKind.FIN_BODY: _cut,
    FaultKind.WRONG_LENGTH: _wrong_length,
}
_ENDING = (FaultKind.STALL, FaultKind.RESET_BODY, FaultKind.FIN_BODY, FaultKind.WRONG_LENGTH, FaultKind.CLOSE_AFTER)
