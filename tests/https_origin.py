"""A real https host on the loopback address, and what lets a store take it for hosts of the open Internet: names that
resolve as a test says, and a dialler that reaches it under whatever address was vetted."""

import datetime
import ipaddress
import re
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from transcriber_worker.domain.clock import Clock, ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.https import HttpsStore
from transcriber_worker.storage.https_network import VettedNetwork

HOST = "files.example.com"
OTHER_HOST = "mirror.example.net"
PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1:248:1893:25c8:1946"
LOCALHOST = "127.0.0.1"
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """A certificate authority, and one certificate of the origin's for many hosts. PEM."""

    authority: bytes
    chain: bytes
    key: bytes


@lru_cache
def certificates(hosts: tuple[str, ...]) -> Certificates:
    """Made anew for each run."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = ca_key.public_key()
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = certificate("test authority", ca_key, "test authority")
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority = authority.add_extension(usage, critical=True)
    authority = authority.add_extension(x509.SubjectKeyIdentifier.from_public_key(issuer), critical=False)
    leaf = certificate("origin", key, "test authority")
    leaf = leaf.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    pem = serialization.Encoding.PEM
    return Certificates(
        authority.sign(ca_key, hashes.SHA256()).public_bytes(pem),
        leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@dataclass
class Stored:
    """An object of the origin. `headers` replace or extend those of every answer; None takes one away."""

    body: bytes
    etag: str | None = field(default_factory=lambda: f'"{uuid.uuid4()}"')
    modified_at: float | None = 1_750_000_000.0
    headers: Mapping[str, str | None] = field(default_factory=dict)
    ranges: bool = True
    head: bool = True


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    host: str
    target: str
    headers: Mapping[str, str]


Script = Callable[["Handler"], None]


class Origin(ThreadingHTTPServer):
    """Serves `objects`, unless a script stands for a path. Both by path without query; PUT and DELETE are for whoever
    publishes."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hosts: Iterable[str] = (HOST, OTHER_HOST)) -> None:
        super().__init__((LOCALHOST, 0), Handler)
        self.certificates = certificates(tuple(hosts))
        self.objects: dict[str, Stored] = {}
        self.scripts: dict[str, Script] = {}
        self.asked: list[Asked] = []
        self.server_names: list[str | None] = []
        self.moment: Callable[[], float] | None = None
        """What the Date header says; None: no such header."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.sni_callback = lambda connection, name, context: self.server_names.append(name)
        with TemporaryDirectory() as folder:
            (Path(folder) / "chain.pem").write_bytes(self.certificates.chain)
            (Path(folder) / "key.pem").write_bytes(self.certificates.key)
            self._tls.load_cert_chain(Path(folder) / "chain.pem", Path(folder) / "key.pem")

    def server_bind(self) -> None:
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def trust(self) -> ssl.SSLContext:
        """A client's, that trusts this origin's authority and nobody else."""
        return trusting(self.certificates.authority)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            with self._tls.wrap_socket(request, server_side=True) as connection:
                Handler(connection, client_address, self)
        except OSError:
            request.close()  # a client that hangs up, or trusts us not

    def methods(self, path: str) -> list[str]:
        """How often and by what methods a path was asked for."""
        return [asked.method for asked in self.asked if asked.target.partition("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.server.asked.append(Asked(self.command, self.headers["Host"] or "", self.path, dict(self.headers)))
        return True

    @property
    def name(self) -> str:
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        script, stored = self.server.scripts.get(self.name), self.server.objects.get(self.name)
        if script is not None:
            script(self)
        elif stored is None:
            self.answer(404)
        elif self.command == "HEAD" and not stored.head:
            self.answer(405)
        else:
            self._serve(stored)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def do_PUT(self) -> None:
        self.server.objects[self.name] = stored = Stored(self.rfile.read(int(self.headers["Content-Length"])))
        stored.modified_at = self.server.moment() if self.server.moment else stored.modified_at
        self.answer(200, {"ETag": stored.etag})

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.name, None)
        self.answer(204)

    def _serve(self, stored: Stored) -> None:
        headers: dict[str, str | None] = {"ETag": stored.etag}
        if stored.modified_at is not None:
            headers["Last-Modified"] = formatdate(stored.modified_at, usegmt=True)
        if stored.etag and self.headers.get("If-Match", stored.etag) != stored.etag:
            self.answer(412, headers)
            return
        body, status = stored.body, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and stored.ranges:
            first, last = int(asked[1]), min(int(asked[2] or len(body) - 1), len(body) - 1)
            if first >= len(body):
                self.answer(416, {"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"], status = f"bytes {first}-{last}/{len(body)}", 206
            body = body[first : last + 1]
        self.answer(status, {**headers, **stored.headers}, body)

    def answer(self, status: int, headers: Mapping[str, str | None] | None = None, body: bytes = b"") -> None:
        """A whole answer. A Content-Length is added unless `headers` say something about it."""
        self.begin(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)
        if headers and "Content-Length" in headers:
            self.close_connection = True

    def begin(self, status: int, headers: Mapping[str, str | None]) -> None:
        """An answer's headers."""
        self.send_response_only(status)
        if self.server.moment is not None:
            self.send_header("Date", formatdate(self.server.moment(), usegmt=True))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def raw(self, data: bytes) -> None:
        """Bytes as they are, and the end of the connection."""
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Tests look at `Origin.asked` instead."""


def trusting(authority: bytes) -> ssl.SSLContext:
    """A client that trusts one certificate authority (PEM)."""
    return ssl.create_default_context(cadata=authority.decode())


@contextmanager
def serving(hosts: Iterable[str] = (HOST, OTHER_HOST)) -> Iterator[Origin]:
    """An origin, until the block ends."""
    with Origin(hosts) as origin:
        thread = threading.Thread(target=origin.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield origin
        finally:
            origin.shutdown()
            thread.join()


@dataclass
class Names:
    """A `Resolver`. Each host has answers that come one after the other; the last one stays."""

    answers: dict[str, list[list[str]]] = field(default_factory=lambda: {HOST: [[PUBLIC]], OTHER_HOST: [[PUBLIC]]})
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        left = self.answers.get(host)
        if left is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return left.pop(0) if len(left) > 1 else left[0]


class Dialler(httpcore.SyncBackend):
    """Reaches the origin under every address, and remembers them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.dialled: list[str] = []
        self.dead: set[str] = set()
        """Addresses where nobody answers."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self.dialled.append(host)
        if host in self.dead:
            raise httpcore.ConnectError("Connection refused")
        return super().connect_tcp(LOCALHOST, self._port, timeout, local_address, socket_options)


class TickingClock(ManualClock):
    """One on which a second passes whenever somebody looks: for hosts that drip."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


@dataclass
class Internet:
    """An origin as seen from outside."""

    origin: Origin
    names: Names = field(default_factory=Names)

    def __post_init__(self) -> None:
        self.dialler = Dialler(self.origin.port)

    def store(
        self,
        clock: Clock,
        allowed: Iterable[str] = (f"https://{HOST}/public/",),
        *,
        timeout_s: float = 20.0,
        max_bytes: int = 1 << 30,
        download_timeout_s: float = float("inf"),
    ) -> HttpsStore:
        """A store that takes the origin for the hosts it has names for."""
        prefixes = [ObjectUri.parse(text) for text in allowed]
        network = VettedNetwork(self.names, self.dialler)
        return HttpsStore(
            prefixes,
            timeout_s,
            clock,
            max_bytes=max_bytes,
            download_timeout_s=download_timeout_s,
            network=network,
            tls=self.origin.trust(),
        )
