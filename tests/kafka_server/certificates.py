"""A certificate authority for one test run: the broker's certificate, a client's, and one of a stranger."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files."""

    ca: Path
    broker: Path
    """Key and certificate in one file, as Kafka reads them."""
    client: Path
    client_key: Path
    stranger: Path
    """A client's certificate that an unknown authority has signed."""
    stranger_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write them all below `folder`."""
    authority = _Authority("authority of this test run")
    unknown = _Authority("an authority that nobody knows")
    made = Certificates(*(folder / f"{name}.pem" for name in (
        "ca", "broker", "client", "client-key", "stranger", "stranger-key"
    )))  # fmt: skip
    made.ca.write_bytes(_pem(authority.certificate))
    key, certificate = authority.sign("broker")
    made.broker.write_bytes(_key_pem(key) + _pem(certificate))
    for signer, certificate_file, key_file in (
        (authority, made.client, made.client_key),
        (unknown, made.stranger, made.stranger_key),
    ):
        key, certificate = signer.sign("worker")
        certificate_file.write_bytes(_pem(certificate))
        key_file.write_bytes(_key_pem(key))
    return made


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        basics = x509.BasicConstraints(ca=True, path_length=0)
        builder = _builder(self._name, self._name, self._key).add_extension(basics, critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def sign(self, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = _builder(_named(name), self._name, key).add_extension(here, critical=False)
        return key, builder.sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - _LIFE).not_valid_after(now + _LIFE)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
