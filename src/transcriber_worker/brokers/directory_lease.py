"""One message of the spool, leased to this process."""

import errno
import json
import os
import secrets
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from transcriber_worker.brokers.base import Message
from transcriber_worker.brokers.directory_layout import LARGEST_REQUEST_BYTES, Entry, Spool, spool_errors, timed
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import LeaseLost

ENVELOPE_BYTES = 64 * 1024
LARGEST_FILE_BYTES = LARGEST_REQUEST_BYTES + ENVELOPE_BYTES
_THIS_FILE_S_TROUBLE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV)
"""When it is opened; what else the disk says, it may say of any file."""


class Unreadable(Exception):
    """A file that is no message, though it has the name of one; the text says why, and where the file is now."""


class Lease:
    """A `Delivery`: the file leased/`<end>~<token>~<entry>`. Its name is the lease, so taking, renewing and losing it
    are one rename each, of which exactly one process wins; nobody waits for a stopped one.

    Taking it raises OSError, and Unreadable for a file that has been moved aside to dead/, just as it is."""

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
        try:
            self._message = self._read()
        except Unreadable as error:
            aside = spool.dead / f"{entry.message_id}~{self._token}.unreadable"
            with suppress(FileNotFoundError):  # stopped for longer than a lease: it is with somebody else
                self._held.rename(aside)
            raise Unreadable(f"{entry.origin} {error}; it is kept as dead/{aside.name}") from error

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
        raw = _content(self._held)
        body, headers = _opened(raw) if self._entry.enveloped else (raw, {})
        return Message(
            id=self._entry.message_id,
            body=body,
            published_at=self._entry.published_ms / 1000,
            origin=self._entry.origin,
            headers=headers,
        )


def _content(path: Path) -> bytes:
    """The bytes of a plain file of bounded size. Raises Unreadable for anything else, and OSError."""
    try:
        # Opening must neither wait for a pipe's writer nor leave the spool by a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _THIS_FILE_S_TROUBLE:
            raise Unreadable(f"can't be opened ({error.strerror})") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is no plain file")
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(LARGEST_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > LARGEST_FILE_BYTES:
        raise Unreadable(f"has more than {LARGEST_FILE_BYTES} bytes")
    return raw


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
