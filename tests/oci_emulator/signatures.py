"""Signatures of requests: draft-cavage HTTP signatures, version 1, rsa-sha256, as Oracle's SDKs make them."""

import base64
import hashlib
import re
import threading
import time
from email.utils import parsedate_to_datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.oci_emulator.journal import Change, Journal
from tests.oci_emulator.wire import Request, ServiceFault

SERVICE = "signatures"
MAX_SKEW_S = 300
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_ALWAYS = frozenset({"(request-target)", "host"})
_WITH_BODY = frozenset({"content-length", "content-type", "x-content-sha256"})
_BODY_UNSIGNED = frozenset({"PutObject", "UploadPart"})
"""The SDK does not hash the bodies of these."""


class Checking(StrEnum):
    """How strict: everything; only that there is a well-formed header; nothing."""

    STRICT = "strict"
    PARSE = "parse"
    OFF = "off"


class Signatures:
    """The keys that are known, by key id: tenancy/user/fingerprint, or `ST$` and a token. Thread-safe."""

    def __init__(self, journal: Journal, checking: Checking = Checking.STRICT) -> None:
        self.checking = checking
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        self._expiry: dict[str, float] = {}
        self._lock = threading.Lock()
        self._journal = journal
        journal.register(SERVICE, self._apply)

    def admit(self, key_id: str, public_pem: str, expires_at: float | None = None) -> None:
        """Know a key; raises `ValueError` where it is no RSA public key. `expires_at`: virtual time."""
        _public_key(public_pem)
        self._journal.commit(SERVICE, {"key_id": key_id, "pem": public_pem, "expires_at": expires_at})

    def revoke(self, key_id: str) -> None:
        self._journal.commit(SERVICE, {"key_id": key_id, "pem": None})

    def _apply(self, change: Change, blob: bytes) -> None:
        key_id, pem = change["key_id"], change["pem"]
        with self._lock:
            self._keys.pop(key_id, None)
            self._expiry.pop(key_id, None)
            if pem is not None:
                self._keys[key_id] = _public_key(pem)
                if change["expires_at"] is not None:
                    self._expiry[key_id] = change["expires_at"]

    def check(self, request: Request, operation: str, skew_s: float = 0.0) -> None:
        """Raises `ServiceFault` 401. `skew_s`: how far this service's own clock is off; the age of a signature goes by
        real time, since those who sign know no other."""
        if self.checking is Checking.OFF:
            return
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        fields = dict(_FIELD.findall(rest))
        if scheme != "Signature" or not {"headers", "keyId", "signature", "algorithm"} <= fields.keys():
            raise _refused("The required information to complete authentication was not provided or was incorrect.")
        if self.checking is Checking.PARSE:
            return
        if fields.get("version") != "1" or fields["algorithm"] != "rsa-sha256":
            raise _refused("The signature's version or algorithm is not supported")
        names = fields["headers"].lower().split()
        self._check_coverage(request, operation, names)
        _check_age(request, skew_s)
        self._check_signature(request, fields, names)

    def _check_coverage(self, request: Request, operation: str, names: list[str]) -> None:
        wanted = set(_ALWAYS)
        if request.method in ("PUT", "POST", "PATCH") and operation not in _BODY_UNSIGNED:
            wanted |= _WITH_BODY
        if not wanted <= set(names) or not {"date", "x-date"} & set(names):
            raise _refused(f"The signature does not cover all of: date, {', '.join(sorted(wanted))}")
        given = request.headers.get("x-content-sha256")
        if given is not None and given != base64.b64encode(hashlib.sha256(request.body).digest()).decode():
            raise _refused("x-content-sha256 is not that of the body")

    def _check_signature(self, request: Request, fields: dict[str, str], names: list[str]) -> None:
        key_id = fields["keyId"]
        with self._lock:
            key, expires_at = self._keys.get(key_id), self._expiry.get(key_id)
        if key is None:
            raise _refused("Failed to verify the HTTP(S) Signature: the key is not known")
        if expires_at is not None and expires_at <= request.now:
            raise _refused("The token has expired")
        try:
            signed = "\n".join(_line(request, name) for name in names)
            signature = base64.b64decode(fields["signature"])
            key.verify(signature, signed.encode("latin-1"), padding.PKCS1v15(), hashes.SHA256())
        except (KeyError, ValueError, InvalidSignature):
            raise _refused("Failed to verify the HTTP(S) Signature") from None


def fingerprint(key: rsa.RSAPublicKey) -> str:
    """As Oracle's console shows it: MD5 of the DER form, pairs of hex digits."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.md5(der, usedforsecurity=False).digest().hex(":")


def _public_key(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - the text is wrong, not its type
    return key


def _line(request: Request, name: str) -> str:
    if name == "(request-target)":
        return f"(request-target): {request.method.lower()} {request.raw_target}"
    return f"{name}: {request.headers[name]}"


def _check_age(request: Request, skew_s: float) -> None:
    text = request.headers.get("x-date") or request.headers.get("date", "")
    try:
        signed_at = parsedate_to_datetime(text).timestamp()
    except ValueError:
        raise _refused("The date header is missing or no date") from None
    if abs(time.time() + skew_s - signed_at) > MAX_SKEW_S:
        raise _refused("Date is not within allowed clock skew")


def _refused(message: str) -> ServiceFault:
    return ServiceFault(401, "NotAuthenticated", message)
