"""Connections to hosts that a publisher named: only to vetted addresses, and never at a drip."""

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.storage.https_addresses import Resolver, is_public, resolve

CONNECT_TIMEOUT_S = 10.0
MOST_ADDRESSES = 4
"""Tried one after the other; a host that answers on none of so many is down."""
HEAD_BYTES = 256 * 1024
"""Most that is read before an answer's headers are complete, interim answers included."""
SLOWEST_BYTES_PER_S = 8 * 1024
"""A body that comes slower than this, over the time that a host may stay silent, counts as broken."""

_UNKNOWN_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
SocketOptions = Iterable[Any] | None


class VettedNetwork(httpcore.NetworkBackend):
    """Resolves a host once a connection, refuses it where any of its addresses is not public, and connects to the very
    addresses that were vetted: a name that means something else a moment later changes nothing.

    `dial` connects to one address."""

    def __init__(self, resolver: Resolver = resolve, dial: httpcore.NetworkBackend | None = None) -> None:
        self._resolve = resolver
        self._dial = dial or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore.NetworkStream:
        addresses = self._addresses(host, port)
        if not all(map(is_public, addresses)):
            # The addresses are not told: what a name means inside our network is no publisher's business.
            message = f"https://{host} resolves to a private, local or reserved address"
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, message)
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return self._dial.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return list(self._resolve(host, port))
        except socket.gaierror as error:
            if error.errno in _UNKNOWN_NAME:
                raise RetryJob(f"there is no host named {host}") from error
            raise EnvironmentDown(f"the name {host} can't be resolved: {error.strerror}; check the DNS") from error
        except (OSError, UnicodeError) as error:
            raise RetryJob(f"the name {host} can't be resolved") from error


class Pace:
    """Watches over one exchange: headers within a time and a size, a body no slower than a floor. `patience_s`: the
    longest silence of a host. Raises httpcore's errors, as the network itself does."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._in_head = True
        self._bytes = 0
        self._since = clock.monotonic()
        self.heard = False
        """Whether anything came since the request."""

    def begin_head(self) -> None:
        """A request goes out."""
        self._in_head, self.heard = True, False
        self._restart()

    def begin_body(self) -> None:
        """The answer's headers are there."""
        self._in_head = False
        self._restart()

    def received(self, bytes_: int) -> None:
        """So many bytes came off the network."""
        self.heard = self.heard or bytes_ > 0
        if self._in_head:
            self._bytes += bytes_
            if self._bytes > HEAD_BYTES:
                raise httpcore.RemoteProtocolError("the headers are too long")
        self._check()

    def delivered(self, bytes_: int) -> None:
        """So many bytes of the body itself came."""
        self._bytes += bytes_
        self._check()

    def _check(self) -> None:
        elapsed_s = self._clock.monotonic() - self._since
        if elapsed_s < self._patience_s:
            return
        if self._in_head or self._bytes < SLOWEST_BYTES_PER_S * elapsed_s:
            raise httpcore.ReadTimeout("the answer comes too slowly")
        self._restart()

    def _restart(self) -> None:
        self._bytes, self._since = 0, self._clock.monotonic()


class PacedNetwork(httpcore.NetworkBackend):
    """Another network whose connections are watched by a `Pace`."""

    def __init__(self, network: httpcore.NetworkBackend, pace: Pace) -> None:
        self._network = network
        self._pace = pace

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore.NetworkStream:
        return _PacedStream(
            self._network.connect_tcp(host, port, timeout, local_address, socket_options),
            self._pace,
        )


class _PacedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, pace: Pace) -> None:
        self._stream = stream
        self._pace = pace

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, timeout)
        self._pace.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            return _PacedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._pace)
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                why = error.__cause__.verify_message
                raise RetryJob(f"the certificate of https://{server_hostname} is not valid: {why}") from error
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
