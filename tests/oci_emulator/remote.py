"""What tests may do with a running emulator: the client of its control API."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.oci_emulator.credentials import TENANCY, USER, new_key, new_token, public_pem, some_key, written_config
from tests.oci_emulator.faults import Effect, Fault, FaultKind
from tests.oci_emulator.objects_model import NAMESPACE
from tests.oci_emulator.signatures import Checking, fingerprint


class Remote:
    """A running emulator as any process may reach it: can be pickled. `url`: of the services, to be given to clients
    as their endpoint."""

    def __init__(self, url: str, control_url: str) -> None:
        self.url = url
        self.control_url = control_url

    @property
    def namespace(self) -> str:
        return NAMESPACE

    def create_bucket(self, name: str, *, events: bool = False) -> str:
        """Nothing if it is there; returns its name."""
        self._call("POST", "buckets", {"name": name, "events": events})
        return name

    def forward_events(self, bucket: str, queue_id: str, *, wrapped: bool = False) -> None:
        """Put a bucket's events onto a queue, as a function would. `wrapped`: within an envelope of the function's."""
        self._call("POST", "events", {"bucket": bucket, "queue_id": queue_id, "wrapped": wrapped})

    def events(self) -> list[dict[str, Any]]:
        """The events of all buckets that have them, oldest first."""
        return list(self._call("GET", "events"))

    def create_queue(self, name: str, **config: int) -> str:
        """`config`: fields of `QueueConfig`; returns its id."""
        return str(self._call("POST", "queues", {"name": name, **config}))

    def create_par(
        self, bucket: str, name: str | None, access: str = "ObjectRead", expires_in_s: float = 3600.0
    ) -> str:
        """A pre-authenticated URL. `expires_in_s`: of virtual time."""
        wanted = {"bucket": bucket, "name": name, "access": access, "expires_in_s": expires_in_s}
        return self.url + str(self._call("POST", "pars", wanted))

    def fault(
        self, kind: FaultKind, operation: str = "*", target: str = "", times: int | None = 1, *,
        probability: float = 1.0, skip: int = 0, status: int = 500, code: str = "InternalServerError",
        message: str = "An injected fault", headers: Mapping[str, str] | None = None, body: str | None = None,
        committed: bool = False, at_bytes: int = 0, seconds: float = 0.0, then: Effect = Effect.NOTHING,
    ) -> int:  # fmt: skip
        """Plan a fault (see `faults.Fault`); returns its number in `fired`."""
        planned = Fault(
            kind, operation, target, times, probability, skip, status, code, message, dict(headers or {}), body,
            committed, at_bytes, seconds, then,
        )  # fmt: skip
        return int(self._call("POST", "faults", asdict(planned)))

    def fired(self) -> list[int]:
        """How often each fault has happened, by number."""
        return list(self._call("GET", "faults"))

    def clear_faults(self, seed: int | None = None) -> None:
        """Switches too. `seed`: chance begins anew."""
        self._call("DELETE", "faults" if seed is None else f"faults?seed={seed}")

    def switch(self, **values: Any) -> None:
        """Change semantics until `clear_faults`: par_expired_status, max_object_bytes, skew_s, those of the queue."""
        self._call("POST", "switches", values)

    def down(self) -> None:
        """Refuse all connections, and cut the open ones."""
        self._call("POST", "down")

    def up(self) -> None:
        self._call("POST", "up")

    def advance(self, seconds: float) -> None:
        """Let virtual time jump ahead."""
        self._call("POST", "advance", {"seconds": seconds})

    def now(self) -> float:
        """Virtual time, Unix seconds."""
        return float(self._call("GET", "now"))

    def check_signatures(self, checking: Checking) -> None:
        self._call("POST", "checking", {"checking": checking})

    def requests(self) -> list[dict[str, Any]]:
        """The last 20,000, oldest first; fields of `requests_log.Entry`."""
        return list(self._call("GET", "requests"))

    def counts(self) -> dict[str, int]:
        """Requests by operation."""
        return dict(self._call("GET", "counts"))

    def clear_requests(self) -> None:
        self._call("DELETE", "requests")

    def dump(self) -> dict[str, Any]:
        """Everything there is: now, buckets (objects by name: etag, size, headers, modified_at), queues."""
        return dict(self._call("GET", "dump"))

    def reset(self) -> None:
        """Forget everything but keys and time."""
        self._call("POST", "reset")

    def put_object(self, bucket: str, name: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
        """Unsigned, free of faults; returns the ETag. `headers`: the object's, such as content-type, storage-tier."""
        named = {f"emu-{header}": value for header, value in (headers or {}).items()}
        return str(json.loads(self._exchange("PUT", f"objects/{bucket}/{quote(name, safe='')}", body, named)))

    def get_object(self, bucket: str, name: str) -> bytes:
        """Unsigned, free of faults; raises `KeyError` where there is none."""
        return self._exchange("GET", f"objects/{bucket}/{quote(name, safe='')}")

    def delete_object(self, bucket: str, name: str) -> None:
        self._exchange("DELETE", f"objects/{bucket}/{quote(name, safe='')}")

    def list_objects(self, bucket: str) -> list[str]:
        """The names, sorted."""
        return sorted(self.dump()["buckets"][bucket])

    def admit(self, key_id: str, key: rsa.RSAPrivateKey, expires_in_s: float | None = None) -> None:
        """Know a key. `expires_in_s`: of virtual time."""
        expires_at = None if expires_in_s is None else self.now() + expires_in_s
        self._call("POST", "keys", {"key_id": key_id, "public_pem": public_pem(key), "expires_at": expires_at})

    def revoke(self, key_id: str) -> None:
        self._call("DELETE", f"keys?key_id={quote(key_id, safe='')}")

    def write_sdk_config(self, folder: Path, *, known: bool = True) -> Path:
        """An SDK configuration (profile DEFAULT) with an API key, of which the emulator knows the public half unless
        told otherwise."""
        key = some_key() if known else new_key()
        profile = {"user": USER, "tenancy": TENANCY, "fingerprint": fingerprint(key.public_key())}
        if known:
            self.admit("/".join((TENANCY, USER, profile["fingerprint"])), key)
        return written_config(folder, profile, key)

    def write_session_config(self, folder: Path, expires_in_s: float = 3600.0) -> Path:
        """An SDK configuration with a session token, as `oci session authenticate` leaves it; a new token each time.
        `expires_in_s`: by the machine's clock in the token, by virtual time for the emulator."""
        key = some_key()
        token = new_token(key, expires_in_s)
        self.admit(f"ST${token}", key, expires_in_s)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(token)
        profile = {"tenancy": TENANCY, "fingerprint": fingerprint(key.public_key())}
        return written_config(folder, {**profile, "security_token_file": str(folder / "token")}, key)

    def _call(self, method: str, path: str, wanted: Any = None) -> Any:
        return json.loads(self._exchange(method, path, b"" if wanted is None else json.dumps(wanted).encode()))

    def _exchange(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        connection = HTTPConnection(urlsplit(self.control_url).netloc, timeout=60)
        try:
            connection.request(method, f"/_emu/{path}", body, dict(headers or {}))
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            raise KeyError(found.decode())
        assert answer.status == 200, f"{method} {path}: {found.decode()}"
        return found
