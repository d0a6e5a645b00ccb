"""One message of the spool, leased to this process."""

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from transcriber_worker.brokers.base import Message
from transcriber_worker.brokers.directory_layout import Entry, Spool, spool_errors, timed
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import LeaseLost


class Lease:
    """A `Delivery`: the file leased/`<end>~<token>~<entry>`. Its name is the lease, so taking, renewing and losing it
    are one rename each, of which exactly one process wins; nobody waits for a stopped one."""

    def __init__(
        self, spool: Spool, entry: Entry, lease_s: float, clock: Clock, ended: Callable[["Lease"], None]
    ) -> None:
        self._spool = spool
        self._entry = entry
        self._lease_s = lease_s
        self._clock = clock
        self._ended = ended
        self._lock = threading.Lock()
        # No two leases share a file, whatever the clock does: a lost one can't touch its successor's.
        self._token = secrets.token_hex(8)
        self._held = self._name()
        self._settled = False
        self._over = False
        (spool.inbox / entry.name).rename(self._held)
        self._message = self._read()

    @property
    def message(self) -> Message:
        return self._message

    def extend(self) -> None:
        with self._lock, spool_errors():
            if self._settled:
                return
            if self._over:
                raise LeaseLost(self._entry.message_id)
            renewed = self._name()
            try:
                self._held.rename(renewed)
            except FileNotFoundError:
                self._end()
                raise LeaseLost(self._entry.message_id) from None
            self._held = renewed

    def settle(self) -> None:
        with self._lock, spool_errors():
            if not self._over:
                self._held.unlink(missing_ok=True)
                self._settled = True
                self._end()

    def give_back(self, delay_s: float = 0.0) -> None:
        with self._lock, spool_errors():
            if self._over:
                return
            back = self._spool.inbox / self._entry.name
            if delay_s > 0:
                back = self._spool.delayed / timed(self._clock.now() + delay_s, self._entry.name)
            with suppress(FileNotFoundError):  # lost: it is with somebody else, or waits already
                self._held.rename(back)
            self._end()

    def _end(self) -> None:
        self._over = True
        self._ended(self)

    def _name(self) -> Path:
        return self._spool.leased / timed(self._clock.now() + self._lease_s, f"{self._token}~{self._entry.name}")

    def _read(self) -> Message:
        raw = self._held.read_bytes()
        body, headers = _opened(raw) if self._entry.enveloped else (raw, {})
        return Message(
            id=self._entry.message_id,
            body=body,
            published_at=self._entry.published_ms / 1000,
            origin=self._entry.origin,
            headers=headers,
        )


def sealed(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A body in its envelope: one line of headers as JSON, then the body untouched."""
    return json.dumps(dict(headers)).encode() + b"\n" + body


def _opened(raw: bytes) -> tuple[bytes, Mapping[str, str]]:
    line, _, body = raw.partition(b"\n")
    try:
        headers = json.loads(line)
        return body, {str(name): str(value) for name, value in headers.items()}
    except (ValueError, AttributeError):
        return raw, {}  # not written by us: whoever reads the body will say what is wrong with it
