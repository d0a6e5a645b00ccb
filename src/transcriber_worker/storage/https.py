"""Objects by URL: pre-authenticated requests and allow-listed hosts, which a publisher names and nobody vouches for.

Reading only. Nothing is sent but the URL: no credentials, no cookies, by no proxy. What comes is kept as it comes."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpcore

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.arriving import arriving
from transcriber_worker.storage.base import LARGEST_READ_BYTES, Condition, ObjectInfo, ObjectNotFound
from transcriber_worker.storage.deadline import Deadline
from transcriber_worker.storage.https_download import Download, compressed
from transcriber_worker.storage.https_exchange import Answer, Exchange, host_of, refuse
from transcriber_worker.storage.https_network import Pace, VettedNetwork

_HEAD_IS_FINAL = (404, 408, 410, 425, 429)


class HttpsStore:
    """An `ObjectStore` that only reads. Thread-safe: each operation has connections of its own, and with them names
    resolved and vetted anew.

    `allowed`: prefixes that every URL, redirects included, must lie below. `timeout_s`: longest silence of a host.
    `max_bytes`: what is larger is told to be just larger, and not stored. `download_timeout_s`: longest time of one
    download. `network`, `tls`: how connections are made and whom they trust. An etag is the host's strong entity tag,
    else a digest of its last-modified time and size.
    """

    def __init__(
        self,
        allowed: Sequence[ObjectUri],
        timeout_s: float,
        clock: Clock,
        *,
        max_bytes: int,
        download_timeout_s: float,
        network: httpcore.NetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = [prefix for prefix in allowed if prefix.scheme == "https"]
        self._timeout_s = timeout_s
        self._clock = clock
        self._max_bytes = max_bytes
        self._download_timeout_s = download_timeout_s
        self._network = network or VettedNetwork()
        self._tls = tls or httpcore.default_ssl_context()

    def head(self, uri: ObjectUri) -> ObjectInfo:
        with self._exchange(uri) as exchange:
            return self._by_head(exchange, uri) or self._by_first_byte(exchange, uri) or self._by_reading(exchange, uri)

    def read(self, uri: ObjectUri) -> tuple[bytes, ObjectInfo]:
        limit = min(self._max_bytes, LARGEST_READ_BYTES)
        with self._exchange(uri) as exchange, exchange.ask("GET", uri) as answer:
            if answer.headers.status != 200:
                raise refuse(answer)
            body = bytearray()
            for chunk in answer.body:
                body += chunk
                if len(body) > limit:
                    message = f"{host_of(uri)} sends more than {limit} bytes for a small object"
                    raise RejectJob(Reason.SOURCE_TOO_LARGE, message)
            return bytes(body), self._info(answer, len(body))

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        deadline = Deadline(self._clock, self._download_timeout_s)
        with self._exchange(uri) as exchange, arriving(path) as file:
            return Download(exchange, uri, etag, file, self._max_bytes, self._clock, deadline).run()

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:  # noqa: ARG002 - the seam's signature
        raise _read_only(uri)

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:  # noqa: ARG002 - the seam's signature
        raise _read_only(uri)

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        raise _read_only(prefix)

    @contextmanager
    def _exchange(self, uri: ObjectUri) -> Iterator[Exchange]:
        if uri.is_prefix and any(prefix.contains(uri) for prefix in self._allowed):
            raise ObjectNotFound(f"{host_of(uri)}: the URL names a folder, not an object")
        pace = Pace(self._clock, self._timeout_s)
        with closing(Exchange(self._network, self._tls, self._allowed, self._timeout_s, pace)) as exchange:
            yield exchange

    def _by_head(self, exchange: Exchange, uri: ObjectUri) -> ObjectInfo | None:
        """None where HEAD is not allowed (a signature may hold for GET alone) or tells too little: then only the
        answer to a GET says what a download will meet."""
        with exchange.ask("HEAD", uri) as answer:
            headers = answer.headers
            if headers.status in _HEAD_IS_FINAL or (headers.status >= 500 and headers.status != 501):
                raise refuse(answer)
            declared = headers.declared_bytes
            if headers.status != 200 or headers.strong_etag is None or declared is None:
                return None
            return self._info(answer, declared)

    def _by_first_byte(self, exchange: Exchange, uri: ObjectUri) -> ObjectInfo | None:
        """None where the answer to a range says too little: an empty object has no first byte."""
        with exchange.ask("GET", uri, {"Range": "bytes=0-0"}) as answer:
            if answer.headers.status not in (200, 206, 416):
                raise refuse(answer)
            declared = answer.headers.declared_bytes
            if answer.headers.status == 416 or (answer.headers.status == 206 and declared is None):
                return None
            return self._info(answer, self._counted(answer) if declared is None else declared)

    def _by_reading(self, exchange: Exchange, uri: ObjectUri) -> ObjectInfo:
        with exchange.ask("GET", uri) as answer:
            if answer.headers.status != 200:
                raise refuse(answer)
            declared = answer.headers.declared_bytes
            return self._info(answer, self._counted(answer) if declared is None else declared)

    def _counted(self, answer: Answer) -> int:
        """The size of a body that nobody declared; just over `max_bytes` where it is more."""
        size = 0
        for chunk in answer.body:
            size += len(chunk)
            if size > self._max_bytes:
                return self._max_bytes + 1
        return size

    def _info(self, answer: Answer, size_bytes: int) -> ObjectInfo:
        coding = answer.headers.coding
        if coding is not None:
            raise RejectJob(Reason.MEDIA_UNREADABLE, compressed(answer.uri, coding))
        return answer.headers.info(size_bytes, self._clock.now())


def _read_only(uri: ObjectUri) -> RejectJob:
    message = f"{host_of(uri)}: URLs are only read from; write to a directory or a bucket"
    return RejectJob(Reason.OUTPUT_NOT_ALLOWED, message)
