"""A download that goes on where it broke off."""

import hashlib
import threading
from io import FileIO

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.arriving import write_whole
from transcriber_worker.storage.base import ConditionFailed, ObjectInfo
from transcriber_worker.storage.deadline import Deadline
from transcriber_worker.storage.https_exchange import Answer, BrokenBody, Exchange, host_of, refuse
from transcriber_worker.storage.https_version import Headers

BREAKS = 5
"""So often in a row a body may break without bringing `PROGRESS_BYTES`."""
PROGRESS_BYTES = 8 * 1024 * 1024
PAUSE_S = 0.5
"""Before the second try; doubles."""


class Download:
    """One version of one object on its way into `file`, which is open and empty. `etag` as `Headers.version` gives it;
    `max_bytes`: what a host sends beyond is not stored."""

    def __init__(
        self,
        exchange: Exchange,
        uri: ObjectUri,
        etag: str,
        file: FileIO,
        max_bytes: int,
        clock: Clock,
        deadline: Deadline,
    ) -> None:
        self._exchange = exchange
        self._uri = uri
        self._etag = etag
        self._file = file
        self._max_bytes = max_bytes
        self._clock = clock
        self._deadline = deadline
        self._head: Headers | None = None
        """Of the answer that the bytes in the file began with; None where they are of no use."""
        self._begun = False
        self._breaks = 0
        self._furthest_bytes = 0
        self._digest = hashlib.md5(usedforsecurity=False)

    def run(self) -> ObjectInfo:
        """Fetch all of it. Raises `ConditionFailed` for another version, `ObjectNotFound`, and the domain's errors."""
        while True:
            try:
                return self._attempt()
            except EnvironmentDown as error:
                if not self._begun:  # not even the beginning of it
                    raise
                self._note_break(error)

    def _attempt(self) -> ObjectInfo:
        """One request, for all or for the rest."""
        head = self._head if self._head is not None and self._head.resumable else None
        offset = self._file.tell() if head is not None else 0
        with self._exchange.ask("GET", self._uri, _rest_of(head, offset)) as answer:
            headers = answer.headers
            if offset and headers.status in (412, 416):
                raise self._replaced()
            if offset and headers.status == 206 and head is not None:
                if (headers.first_byte, headers.declared_bytes) != (offset, head.declared_bytes):
                    raise self._spoilt("sends another part of the object than it was asked for")
                self._require(headers, head.declared_bytes)
            elif headers.status == 200:
                self._admit(headers)
                self._begin(headers)
            else:
                raise refuse(answer)
            self._store(answer)
        return self._finished()

    def _admit(self, headers: Headers) -> None:
        if headers.coding is not None:
            raise RejectJob(Reason.MEDIA_UNREADABLE, compressed(self._uri, headers.coding))
        declared = headers.declared_bytes
        if declared is not None:
            self._require(headers, declared)
            if declared > self._max_bytes:
                raise self._too_large()

    def _begin(self, headers: Headers | None) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._head, self._begun = headers, True
        self._digest = hashlib.md5(usedforsecurity=False)

    def _store(self, answer: Answer) -> None:
        for chunk in answer.body:
            self._deadline.check()
            if self._file.tell() + len(chunk) > self._max_bytes:
                raise self._too_large()
            write_whole(self._file, chunk)
            self._digest.update(chunk)

    def _finished(self) -> ObjectInfo:
        size, head = self._file.tell(), self._head
        if head is None or head.declared_bytes not in (None, size):
            raise self._spoilt("ends the object before its end")
        self._require(head, size)
        if head.md5 not in (None, self._digest.digest()):
            raise self._spoilt("sends an object that does not match its own checksum")
        return head.info(size, self._clock.now())

    def _require(self, headers: Headers, size_bytes: int | None) -> None:
        if headers.version(size_bytes or 0) != self._etag:
            raise self._replaced()

    def _note_break(self, error: EnvironmentDown) -> None:
        # What had come before, and comes again from the beginning, is no progress.
        gained_bytes = self._file.tell() - self._furthest_bytes
        self._furthest_bytes = max(self._furthest_bytes, self._file.tell())
        self._breaks = 0 if gained_bytes >= PROGRESS_BYTES else self._breaks + 1
        if self._breaks > BREAKS:
            if isinstance(error, _Spoilt):  # the host is well; it is this object that never comes right
                raise RetryJob(str(error)) from error
            raise error
        self._deadline.check()
        self._clock.wait(threading.Event(), PAUSE_S * 2**self._breaks)

    def _spoilt(self, why: str) -> "_Spoilt":
        self._begin(None)
        return _Spoilt(f"{host_of(self._uri)} {why}")

    def _replaced(self) -> ConditionFailed:
        return ConditionFailed(f"{host_of(self._uri)} has another version by now")

    def _too_large(self) -> RejectJob:
        message = f"the source has more than storage.max_source_bytes ({self._max_bytes})"
        return RejectJob(Reason.SOURCE_TOO_LARGE, message)


class _Spoilt(BrokenBody):
    """What came is of no use: begin anew."""


def _rest_of(head: Headers | None, offset: int) -> dict[str, str]:
    """Headers that ask for what is missing, of that version."""
    if head is None or not offset:
        return {}
    same = {"If-Match": head.strong_etag} if head.strong_etag is not None else {}
    return {"Range": f"bytes={offset}-", **same}


def compressed(uri: ObjectUri, coding: str) -> str:
    """What to tell of an object that its host has compressed."""
    return f"{host_of(uri)} sends the object compressed (Content-Encoding: {coding}): store it without"
