"""Objects in OCI Object Storage: `oci://bucket@namespace/name`, with conditional writes decided by the service."""

import errno
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.oci_access.access import OciAccess, Renewing
from transcriber_worker.oci_access.faults import Fault, code_of, fault_of
from transcriber_worker.storage.arriving import arriving
from transcriber_worker.storage.base import (
    LARGEST_READ_BYTES,
    Condition,
    ConditionFailed,
    IfAbsent,
    IfMatch,
    ObjectInfo,
    ObjectNotFound,
)
from transcriber_worker.storage.deadline import Deadline
from transcriber_worker.storage.object_storage_answers import BrokenBody, chunks, info_of, md5, md5_of
from transcriber_worker.storage.object_storage_download import Download, RangeRefused
from transcriber_worker.storage.object_storage_errors import OBJECT_NOT_FOUND, fail_changing, fail_reading

WRITE_ID = "write-id"
"""Metadata that tells our own write, whose answer was lost, from somebody else's."""
ABSENCES = 3
"""A bucket has been seen to vanish for single requests: it is gone only when it is gone so often."""
READS = 3
"""Times a small object is read whose body breaks."""
PAGE = 1000
SILENCE_S = 15.0
"""A record's answer that takes longer is asked for again, while its lease lasts. Downloads wait as the settings say."""
LARGE_BYTES = 1024 * 1024
LARGE_UPLOAD_S = 120.0
_PAUSE_S = 0.3
Name = tuple[str, str, str]
"""Namespace, bucket, object."""


class ObjectStorageStore:
    """An `ObjectStore` for `oci://` URIs. Thread-safe. Needs the permissions to inspect, read and manage objects."""

    def __init__(self, access: OciAccess, clock: Clock, download_timeout_s: float) -> None:
        self._downloads: Renewing[Any] = Renewing(access, access.object_storage)
        self._uploads: Renewing[Any] = Renewing(access, lambda: access.object_storage(upload_s=LARGE_UPLOAD_S))
        self._small: Renewing[Any] = Renewing(access, lambda: access.object_storage(longest_silence_s=SILENCE_S))
        self._retries = access.retries
        self._once = replace(access.retries, attempts=1)
        """For calls whose every single failure we have to see."""
        self._clock = clock
        self._download_timeout_s = download_timeout_s

    def head(self, uri: ObjectUri) -> ObjectInfo:
        return self._known(uri, self._head(uri))

    def read(self, uri: ObjectUri) -> tuple[bytes, ObjectInfo]:
        for _ in range(READS):
            answer = self._get(uri)
            try:
                with closing(chunks(answer.data, self._clock)) as parts:
                    info = self._known(uri, answer)
                    if info.size_bytes > LARGEST_READ_BYTES:
                        message = f"{uri} has {info.size_bytes} bytes, too many for a transcript: move it away"
                        raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, message)
                    body = _whole(parts, info.size_bytes)
            except BrokenBody:
                self._pause()
                continue
            if len(body) == info.size_bytes and md5_of(answer.headers) in (None, md5(body)):
                return body, info
        raise EnvironmentDown(f"{uri} could not be read whole, {READS} times in a row")

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        deadline = Deadline(self._clock, self._download_timeout_s)
        with arriving(path) as file:
            return Download(uri, etag, file, partial(self._rest, uri, etag), self._clock, deadline).run()

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        name, write_id = _target(uri), uuid.uuid4().hex
        # Bytes, not a file: the SDK sends the same body object again after a refusal, and a file would be at its end.
        details = {"content_md5": md5(body), "content_type": content_type, "opc_meta": {WRITE_ID: write_id}}
        try:
            answer = self._insist(
                lambda client: client.put_object(*name, body, **details, **_match(condition)),
                self._uploads if len(body) > LARGE_BYTES else self._small,
            )
        except Exception as error:
            fault = fault_of(error)
            gone = code_of(error) == OBJECT_NOT_FOUND and isinstance(condition, IfMatch)
            if not gone and fault not in (Fault.CONDITION, Fault.CONFLICT):
                fail_changing(error, uri, "manage objects")
            return self._own_write(uri, write_id, condition, error)
        info = info_of(answer.headers)
        if info is None:
            return self._own_write(uri, write_id, condition, BrokenBody("an answer without a version"))
        return ObjectInfo(info.etag, len(body), info.modified_at, info.observed_at)

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:
        name, lost_answer = _target(uri), False
        if isinstance(condition, IfAbsent):
            if self._there(uri) is not None:
                raise ConditionFailed(f"{uri} exists")
            return

        def attempt(client: Any) -> None:
            nonlocal lost_answer
            try:
                client.delete_object(*name, retry_strategy=self._once, **_match(condition))
            except Exception as error:
                lost_answer = lost_answer or fault_of(error) is Fault.DOWN
                raise

        try:
            self._insist(lambda client: self._retries.make_retrying_call(attempt, client))
        except Exception as error:
            if code_of(error) != OBJECT_NOT_FOUND:
                fail_changing(error, uri, "manage objects")
            if condition is not None and not lost_answer:
                raise ConditionFailed(f"{uri} is gone") from error

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        """Names that no URI can tell, and those that mark folders, are left out."""
        namespace, bucket, wanted = _parts(prefix)
        start: str | None = wanted or None
        while True:
            page = self._page(prefix, namespace, bucket, start)
            for found in page.objects:
                uri = _child(prefix, found.name)
                if uri is not None:
                    yield uri
            start = page.next_start_with
            if not start:
                return

    def _page(self, prefix: ObjectUri, namespace: str, bucket: str, start: str | None) -> Any:
        def ask(client: Any) -> Any:
            options = {"prefix": prefix.key, "limit": PAGE, "fields": "name"} | ({"start": start} if start else {})
            page = client.list_objects(namespace, bucket, retry_strategy=self._once, **options).data
            objects = getattr(page, "objects", None)
            goes_on = getattr(page, "next_start_with", None) != start or not start
            if objects is None or not goes_on or not all(isinstance(getattr(it, "name", None), str) for it in objects):
                raise ConnectionError(errno.EPROTO, "the answer is no list")
            return page

        try:
            return self._insist(lambda client: self._retries.make_retrying_call(ask, client))
        except Exception as error:
            fail_changing(error, prefix, "inspect objects")

    def _head(self, uri: ObjectUri) -> Any:
        name = _source(uri)

        def ask(client: Any) -> Any:
            try:
                return client.head_object(*name)
            except Exception as error:
                if fault_of(error) is not Fault.NOT_FOUND:
                    raise
            # An answer to HEAD has no body, so only a GET tells a missing object from a bucket that can't be seen.
            found = client.get_object(*name)
            found.data.close()
            return found

        try:
            return self._insist(ask)
        except Exception as error:
            fail_reading(error, uri)

    def _get(self, uri: ObjectUri, *, etag: str | None = None, start: int = 0) -> Any:
        name = _source(uri)
        options = ({"if_match": etag} if etag else {}) | ({"range": f"bytes={start}-"} if start else {})
        try:
            return self._insist(
                lambda client: client.get_object(*name, **options), self._downloads if etag else self._small
            )
        except Exception as error:
            if fault_of(error) is Fault.RANGE and start:
                raise RangeRefused(f"nothing from byte {start} on") from error
            fail_reading(error, uri)

    def _rest(self, uri: ObjectUri, etag: str, start: int) -> Any:
        return self._get(uri, etag=etag, start=start)

    def _insist(self, operation: Callable[[Any], Any], client: Renewing[Any] | None = None) -> Any:
        """The answer of a call; a 404 that is not the object's own is asked again."""
        client = client or self._small
        for _ in range(ABSENCES - 1):
            try:
                return client.call(operation)
            except Exception as error:
                if fault_of(error) is not Fault.NOT_FOUND or code_of(error) == OBJECT_NOT_FOUND:
                    raise
            self._pause()
        return client.call(operation)

    def _own_write(self, uri: ObjectUri, write_id: str, condition: Condition, error: Exception) -> ObjectInfo:
        """After a refusal: a write of ours may have landed and only its answer been lost, and the try after it be the
        one that was refused. Raises `ConditionFailed`, or `EnvironmentDown` where the condition still holds."""
        answer = self._there(uri)
        if answer is not None and answer.headers.get(f"opc-meta-{WRITE_ID}") == write_id:
            return self._known(uri, answer)
        if fault_of(error) is not Fault.CONDITION and _holds(condition, answer):
            raise EnvironmentDown(f"{uri}: the write was not accepted") from error
        raise ConditionFailed(f"{uri} is another version") from error

    def _there(self, uri: ObjectUri) -> Any:
        """What a HEAD says of an object; None where there is none."""
        try:
            return self._head(uri)
        except ObjectNotFound:
            return None

    def _known(self, uri: ObjectUri, answer: Any) -> ObjectInfo:
        info = info_of(answer.headers)
        if info is None:
            raise EnvironmentDown(f"bucket {uri.authority} answers without a version or a date: is it Object Storage?")
        return info

    def _pause(self) -> None:
        self._clock.wait(threading.Event(), _PAUSE_S)


def _whole(parts: Iterable[bytes], size_bytes: int) -> bytes:
    """The body that is `size_bytes` long; raises `BrokenBody` for one that goes on."""
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > size_bytes:
            raise BrokenBody("more bytes than its headers say")
    return bytes(body)


def _match(condition: Condition) -> dict[str, str]:
    match condition:
        case IfAbsent():
            return {"if_none_match": "*"}
        case IfMatch(etag):
            return {"if_match": etag}
    return {}


def _holds(condition: Condition, answer: Any) -> bool:
    """Whether the object, or None, is as the condition wants it."""
    if isinstance(condition, IfMatch):
        return answer is not None and answer.headers.get("etag") == condition.etag
    return condition is None or answer is None


def _parts(uri: ObjectUri) -> Name:
    bucket, _, namespace = uri.authority.partition("@")
    return namespace, bucket, uri.key


def _source(uri: ObjectUri) -> Name:
    if uri.is_prefix or not uri.key.strip():
        raise ObjectNotFound(f"{uri} names a prefix, not an object")
    return _parts(uri)


def _target(uri: ObjectUri) -> Name:
    if uri.is_prefix or not uri.key.strip():
        raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, f"{uri} names a prefix, not an object")
    return _parts(uri)


def _child(prefix: ObjectUri, name: str) -> ObjectUri | None:
    try:
        found = ObjectUri(prefix.scheme, prefix.authority, "").child(name)
    except InvalidUri:
        return None
    return found if prefix.contains(found) and not found.is_prefix else None
