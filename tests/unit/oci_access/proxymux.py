"""What stands on an OKE node beside a pod with workload identity: it gives out tokens for the pod's key, over TLS."""

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oci.auth import rpt_path_providers

from tests.oci_emulator.credentials import new_token, private_pem, some_key

ADDRESS, PORT = "127.0.0.93", 12250
"""The SDK knows the port only as a constant, so the address is one that nobody else listens on."""


@dataclass
class Proxymux:
    """`lives_s`: of the tokens given out from now on. `status`: of the answers."""

    lives_s: float = 3600.0
    status: int = 200
    given: list[str] = field(default_factory=list)


@contextmanager
def proxymux(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Proxymux]:
    """One that runs, and an environment as in a pod on its node."""
    state, key = Proxymux(), some_key()
    (folder / "key.pem").write_text(private_pem(key))
    (folder / "ca.crt").write_bytes(_certificate())
    (folder / "token").write_text(new_token(key, 3600))
    patch.setenv("KUBERNETES_SERVICE_HOST", ADDRESS)
    patch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "eu-frankfurt-1")
    patch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(folder / "ca.crt"))
    patch.setattr(rpt_path_providers, "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", str(folder / "token"))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            token = new_token(key, state.lives_s)
            if state.status == 200:
                state.given.append(token)
            body = base64.b64encode(json.dumps({"token": f"ST${token}"}).encode())
            self.send_response(state.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    with ThreadingHTTPServer((ADDRESS, PORT), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def _certificate() -> bytes:
    key, name = some_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxymux")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
