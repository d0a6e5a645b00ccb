"""Downloading one version of an object, however often the connection breaks."""

import base64
import hashlib
import threading
from collections.abc import Callable
from contextlib import closing
from io import FileIO
from typing import Any

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.arriving import write_whole
from transcriber_worker.storage.base import ConditionFailed, ObjectInfo
from transcriber_worker.storage.deadline import Deadline
from transcriber_worker.storage.object_storage_answers import BrokenBody, chunks, info_of, md5_of

PROGRESS_BYTES = 256 * 1024
"""An attempt that brings less than this, and not the rest, has brought nothing."""
BARREN_ATTEMPTS = 4
"""So many in a row end the download."""
RESTARTS = 2
"""Times a download whose checksum was wrong begins anew."""
_PAUSE_S = 0.5

Get = Callable[[int], Any]
"""Asks for the object's bytes from an offset on; the SDK's response. Raises the domain's errors, and `RangeRefused`."""


class RangeRefused(BrokenBody):
    """The object ends before the offset, so what has come is not what it was thought to be."""


class Download:
    """One download into `file`, which is empty. Not thread-safe."""

    def __init__(self, uri: ObjectUri, etag: str, file: FileIO, get: Get, clock: Clock, deadline: Deadline) -> None:
        self._uri = uri
        self._etag = etag
        self._file = file
        self._get = get
        self._clock = clock
        self._deadline = deadline
        self._received = 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self._md5: str | None = None

    def run(self) -> ObjectInfo:
        """Fetch all of it and compare size and checksum. Raises what `get` raises, `ConditionFailed`, and
        `EnvironmentDown` where the store brings nothing more or nothing right, or the disk takes no more."""
        barren = restarts = furthest = 0
        while True:
            try:
                info = self._attempt()
            except BrokenBody as broken:
                # What had come before, and comes again after a restart, is no progress.
                barren = 0 if self._received - furthest >= PROGRESS_BYTES else barren + 1
                furthest = max(furthest, self._received)
                if barren >= BARREN_ATTEMPTS:
                    raise EnvironmentDown(f"{self._uri}: the download breaks again and again: {broken}") from broken
                self._deadline.check()
                self._clock.wait(threading.Event(), _PAUSE_S * 2**barren)
                continue
            if self._md5 in (None, base64.b64encode(self._digest.digest()).decode()):
                return info
            restarts += 1
            if restarts > RESTARTS:
                raise EnvironmentDown(f"{self._uri}: its bytes do not have its checksum, {restarts} times in a row")
            self._restart()

    def _attempt(self) -> ObjectInfo:
        """Fetch what is missing; raises `BrokenBody` where that is not all."""
        try:
            answer = self._get(self._received)
        except RangeRefused:
            self._restart()
            raise
        with closing(chunks(answer.data, self._clock)) as body:
            info = info_of(answer.headers)
            if info is None:
                raise BrokenBody("an answer without a version")
            if info.etag != self._etag:
                raise ConditionFailed(f"{self._uri} is another version")
            start = _start(answer)
            if start != self._received:
                self._restart()
            if start not in (0, self._received):
                raise BrokenBody("another range than the one asked for")
            if start == 0:
                self._md5 = md5_of(answer.headers)
            size_bytes = start + info.size_bytes
            for chunk in body:
                self._deadline.check()
                self._write(chunk)
        if self._received != size_bytes:
            raise BrokenBody(f"it ended after {self._received} of {size_bytes} bytes")
        return ObjectInfo(info.etag, size_bytes, info.modified_at, info.observed_at)

    def _write(self, chunk: bytes) -> None:
        write_whole(self._file, chunk)
        self._digest.update(chunk)
        self._received += len(chunk)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received = 0
        self._digest = hashlib.md5(usedforsecurity=False)


def _start(answer: Any) -> int:
    """The offset that the body begins at: a server may answer a range with the whole object."""
    if answer.status != 206:
        return 0
    try:
        return int(answer.headers["content-range"].removeprefix("bytes ").partition("-")[0])
    except (KeyError, ValueError):
        raise BrokenBody("a range without its place") from None
