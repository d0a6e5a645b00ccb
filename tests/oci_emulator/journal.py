"""What outlives a kill -9 of the emulator: every change, appended to one file before it is answered."""

import json
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Change = Mapping[str, Any]
"""JSON-able; replayed as it was recorded."""
_LENGTHS = struct.Struct(">II")


class Journal:
    """Without a path it only hands changes on. Thread-safe.

    Each service registers how it applies a change, and makes every change through `commit`, with the new values
    (identifiers, times) in it: a replay then gives the same state.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._appliers: dict[str, Callable[[Change, bytes], None]] = {}
        self._lock = threading.Lock()
        self._path = path
        self._file: int | None = None

    def register(self, service: str, apply: Callable[[Change, bytes], None]) -> None:
        """Before `replay`. `apply(change, blob)` must not fail for what was committed once."""
        self._appliers[service] = apply

    def replay(self) -> None:
        """Apply what was recorded before, and record from now on. A last entry that was cut off by a kill was never
        answered: it is dropped."""
        if self._path is None:
            return
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(os.dup(self._file), "rb") as recorded:
            whole = 0
            while len(lengths := recorded.read(_LENGTHS.size)) == _LENGTHS.size:
                head_bytes, blob_bytes = _LENGTHS.unpack(lengths)
                head, blob = recorded.read(head_bytes), recorded.read(blob_bytes)
                if len(head) < head_bytes or len(blob) < blob_bytes:
                    break
                service, change = json.loads(head)
                self._appliers[service](change, blob)
                whole = recorded.tell()
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def commit(self, service: str, change: Change, blob: bytes = b"") -> None:
        """Record a change, then apply it. The caller holds its service's lock across check and commit."""
        with self._lock:
            if self._file is not None:
                head = json.dumps([service, change]).encode()
                _write_all(self._file, _LENGTHS.pack(len(head), len(blob)) + head + blob)
        self._appliers[service](change, blob)


def _write_all(file: int, entry: bytes) -> None:
    left = memoryview(entry)
    while left:
        left = left[os.write(file, left) :]
