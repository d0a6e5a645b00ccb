"""One request to a host that a publisher named, and its redirects: every hop is checked like the first."""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin

import httpcore

from transcriber_worker import __version__
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.storage.base import ObjectNotFound
from transcriber_worker.storage.https_network import CONNECT_TIMEOUT_S, Pace, PacedNetwork
from transcriber_worker.storage.https_version import Headers

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_AUTHORITY = re.compile(
    r"(?P<host>[a-z0-9]([a-z0-9._-]{0,252})|\[(?P<literal>[0-9a-f:.]{2,45})\])(:(?P<port>\d{1,5}))?"
)
_AS_SENT = "%/?:@!$&'()*+,;=~-._"
"""What stands in a URL as it is; a space or a letter beyond ASCII goes out percent-encoded."""
_UNQUOTINGS = 4
_DOWN = (408, 425, 429)


class BrokenBody(EnvironmentDown):
    """A body broke off or came too slowly; its bytes so far are good."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body`: its bytes as they came, in pieces; raises `BrokenBody`."""

    uri: ObjectUri
    """Who answered, after the redirects."""
    headers: Headers
    body: Iterator[bytes]


class Exchange:
    """The requests of one operation, over connections that end with it. `allowed`: prefixes that every URL must lie
    below; `timeout_s`: longest silence of a host."""

    def __init__(
        self,
        network: httpcore.NetworkBackend,
        tls: ssl.SSLContext,
        allowed: Sequence[ObjectUri],
        timeout_s: float,
        pace: Pace,
    ) -> None:
        self._allowed = allowed
        self._pace = pace
        self._timeouts = {
            "connect": min(CONNECT_TIMEOUT_S, timeout_s),
            "read": timeout_s,
            "write": timeout_s,
            "pool": timeout_s,
        }
        self._pool = httpcore.ConnectionPool(ssl_context=tls, network_backend=PacedNetwork(network, pace))

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def ask(self, method: str, uri: ObjectUri, extra: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answer of whoever has the object, whatever its status; `extra`: headers. Raises `RejectJob` for a URL or
        a redirect that is not allowed, `RetryJob` for an answer that is not understood, `EnvironmentDown` for none."""
        for _ in range(1 + MOST_REDIRECTS):
            with self._hop(method, uri, extra or {}) as answer:
                if answer.headers.status not in _REDIRECTS:
                    yield answer
                    return
            uri = _redirected(answer)
        raise RejectJob(Reason.SOURCE_NOT_ALLOWED, f"{host_of(uri)} redirects more than {MOST_REDIRECTS} times")

    @contextmanager
    def _hop(self, method: str, uri: ObjectUri, extra: Mapping[str, str]) -> Iterator[Answer]:
        url = self._checked(uri)
        headers = {
            "Host": uri.authority,
            "User-Agent": f"transcriber-worker/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **extra,
        }
        self._pace.begin_head()
        request = httpcore.Request(
            method, url, headers=list(headers.items()), extensions={"timeout": dict(self._timeouts)}
        )
        with self._network_errors(uri):
            response = self._pool.handle_request(request)
        self._pace.begin_body()
        try:
            yield Answer(uri, _headers(response), self._body(uri, response))
        finally:
            response.close()

    def _body(self, uri: ObjectUri, response: httpcore.Response) -> Iterator[bytes]:
        try:
            for chunk in response.iter_stream():
                self._pace.delivered(len(chunk))
                yield chunk
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise BrokenBody(f"{host_of(uri)} broke off in the middle: {_told(error)}") from error

    @contextmanager
    def _network_errors(self, uri: ObjectUri) -> Iterator[None]:
        host = host_of(uri)
        try:
            yield
        except httpcore.TimeoutException as error:
            raise EnvironmentDown(f"{host} does not answer in time") from error
        except httpcore.LocalProtocolError as error:
            raise RejectJob(Reason.INVALID_REQUEST, f"the URL at {host} can't be asked for by HTTP") from error
        except httpcore.ProtocolError as error:
            if self._pace.heard:
                raise RetryJob(f"{host} answers something that is no HTTP: {_told(error)}") from error
            raise EnvironmentDown(f"{host} closes the connection instead of answering") from error
        except httpcore.NetworkError as error:
            raise EnvironmentDown(f"{host} can't be reached: {_told(error)}") from error

    def _checked(self, uri: ObjectUri) -> httpcore.URL:
        """Where to connect and what to ask for; raises `RejectJob` for what this worker may not read."""
        found = _AUTHORITY.fullmatch(uri.authority) if uri.scheme == "https" else None
        if found is None:
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, "a source by URL is https:// and a host in its ASCII spelling")
        if not any(prefix.contains(uri) for prefix in self._allowed) or _climbs(uri):
            message = f"{host_of(uri)} leads to a URL below no prefix of storage.allowed_sources"
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, message)
        host = found["literal"] or found["host"]
        target = "/" + quote(uri.key, safe=_AS_SENT)
        return httpcore.URL(
            scheme=b"https", host=host.encode(), port=int(found["port"] or 443), target=target.encode("ascii")
        )


def host_of(uri: ObjectUri) -> str:
    """All of a URL that may be told: its path and its query may be its whole secret."""
    return f"https://{uri.authority}"


def refuse(answer: Answer) -> Exception:
    """What an answer without the object means for the job."""
    status, host = answer.headers.status, host_of(answer.uri)
    if status in (404, 410):
        return ObjectNotFound(f"{host} has no such object, or the pre-authenticated request has expired")
    if status in (401, 403):
        return ObjectNotFound(f"{host} refuses the URL ({status}): its token or signature is wrong or has expired")
    if status in _DOWN or status >= 500:
        return EnvironmentDown(f"{host} answers {status}")
    if status >= 400:
        return RejectJob(Reason.SOURCE_NOT_FOUND, f"{host} answers {status} to the URL")
    return RetryJob(f"{host} answers {status}, which is no object")


def _climbs(uri: ObjectUri) -> bool:
    """Whether some decoder or file system on the way could take the path for one that leaves its prefix: dot segments
    that are encoded more than once, between backslashes, or with parameters."""
    path = uri.key.partition("?")[0]
    for _ in range(_UNQUOTINGS):
        if any(segment.partition(";")[0] in (".", "..") for segment in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False


def _redirected(answer: Answer) -> ObjectUri:
    location = answer.headers.fields.get("location", "").strip()
    try:
        target = ObjectUri.parse(urljoin(str(answer.uri), location)) if location else None
    except (InvalidUri, ValueError):  # their messages may quote the target
        target = None
    if target is None:
        message = f"{host_of(answer.uri)} redirects to something that is no plain https URL"
        raise RejectJob(Reason.SOURCE_NOT_ALLOWED, message)
    return target


def _headers(response: httpcore.Response) -> Headers:
    fields: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return Headers(response.status, fields)


def _told(error: Exception) -> str:
    """Why, in one short line. Without what the host sent, which a protocol error quotes after a colon: one that echoes
    its request would have the URL told."""
    text = str(error).partition(":")[0] if isinstance(error, httpcore.ProtocolError) else str(error)
    return (text or type(error).__name__)[:200]
