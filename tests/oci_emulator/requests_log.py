"""What was asked: the last requests one by one, and all of them counted."""

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from tests.oci_emulator.wire import Request

_KEPT = 20_000
_HEADERS = (
    "range",
    "if-match",
    "if-none-match",
    "content-md5",
    "content-length",
    "opc-client-request-id",
    "user-agent",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """`status`: what was answered, None where the connection was reset instead. `fault`: the kind that happened to
    it, "" for none. `at`: virtual time."""

    at: float
    operation: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body_bytes: int
    status: int | None
    fault: str


class RequestsLog:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()

    def add(self, request: Request, operation: str, status: int | None, fault: str) -> None:
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        entry = Entry(
            request.now, operation, request.method, request.path, dict(request.query), headers, len(request.body),
            status, fault,
        )  # fmt: skip
        with self._lock:
            self._entries.append(entry)
            self._counts[operation] += 1

    def entries(self) -> list[dict[str, Any]]:
        """The last ones, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self._entries]

    def counts(self) -> dict[str, int]:
        """How many of each operation since the start or the last `clear`."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._counts.clear()
