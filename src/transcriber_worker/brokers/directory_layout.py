"""The spool on disk: its folders, and names that carry whatever must survive a redelivery."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.domain.uri import printable
from transcriber_worker.files.durable import sync_directory, write_synced

LABEL_BYTES = 120
LARGEST_REQUEST_BYTES = 1024 * 1024
ABANDONED_AFTER_S = 3600.0
"""An unfinished file in tmp/ this old belongs to a process that was killed."""

_ENTRY = re.compile(r"(\d{13})~([0-9a-f]{32})(?:~([^/]*))?\.(msg|json)", re.DOTALL)
_TIMED = re.compile(r"(\d{13})~(?:[0-9a-f]{16}~)?(\d{13}~.+)", re.DOTALL)
_LAST_MS = 9_999_999_999_999


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the spool, as its file's name tells it. The name stays the same wherever the file moves."""

    published_ms: int
    """Unix time; 13 digits in the name, so that names sort by age."""
    id: str
    """32 hex digits."""
    label: str
    """Where a person dropped it, below inbox/; "" for what was published. Made shorter where it is long."""
    enveloped: bool
    """Whether the file begins with a line of headers: what we publish does, what people drop is a plain body."""

    @classmethod
    def new(cls, published_ms: int, label: str = "", *, enveloped: bool = False) -> Self:
        return cls(published_ms, uuid.uuid4().hex, _shortened(_escaped(label)), enveloped)

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """None where `name` is not one that we gave."""
        found = _ENTRY.fullmatch(name)
        return cls(int(found[1]), found[2], found[3] or "", found[4] == "msg") if found else None

    @property
    def name(self) -> str:
        label = f"~{self.label}" if self.label else ""
        return f"{self.published_ms:013d}~{self.id}{label}.{'msg' if self.enveloped else 'json'}"

    @property
    def message_id(self) -> str:
        return f"{self.published_ms:013d}~{self.id}"

    @property
    def origin(self) -> str:
        """For a human."""
        return f"spool:inbox/{unquote(self.label) or self.name}"


def is_entry(name: str) -> bool:
    """Whether a file of the inbox is a message already, rather than something a person dropped there."""
    return _ENTRY.fullmatch(name) is not None


def timed(at_s: float, name: str) -> str:
    """`name` with a moment before it: when a lease ends, when a delay is over."""
    return f"{min(max(int(at_s * 1000), 0), _LAST_MS):013d}~{name}"


def timed_entry(name: str) -> tuple[int, Entry] | None:
    """The moment (Unix ms) and the entry in a name that `timed` made, with or without a lease's token between them;
    None for any other name."""
    found = _TIMED.fullmatch(name)
    entry = Entry.parse(found[2]) if found else None
    return (int(found[1]), entry) if found and entry else None


@dataclass(frozen=True, slots=True)
class Spool:
    """The folders below one root, all on one file system: everything moves by rename."""

    root: Path

    def create(self, now_s: float) -> None:
        """Make the folders, and clear out what killed processes left unfinished."""
        for folder in (self.inbox, self.audio, self.leased, self.delayed, self.adopting, self.results, self.dead):
            folder.mkdir(parents=True, exist_ok=True)
        self.tmp.mkdir(exist_ok=True)
        for unfinished in self.tmp.iterdir():
            with suppress(FileNotFoundError):
                if unfinished.stat().st_mtime < now_s - ABANDONED_AFTER_S:
                    unfinished.unlink()

    @property
    def inbox(self) -> Path:
        """Messages that wait, and what people drop."""
        return self.root / "inbox"

    @property
    def audio(self) -> Path:
        """Accepted recordings, under the names they had in the inbox: the bucket that requests point to."""
        return self.root / "audio"

    @property
    def leased(self) -> Path:
        """`<end of the lease>~<token>~<entry>`"""
        return self.root / "leased"

    @property
    def delayed(self) -> Path:
        """`<due>~<entry>`"""
        return self.root / "delayed"

    @property
    def adopting(self) -> Path:
        """Recordings on their way from inbox/ to audio/, a folder each: `<given up at>~<entry>`."""
        return self.root / "adopting"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def dead(self) -> Path:
        return self.root / "dead"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def write(self, path: Path, body: bytes, modified_ns: int | None = None) -> None:
        """Put a whole file in place, durably, replacing one of that name. Raises OSError."""
        unfinished = self.tmp / uuid.uuid4().hex
        try:
            write_synced(unfinished, body, modified_ns)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_directory(path.parent)


@contextmanager
def spool_errors() -> Iterator[None]:
    """Whatever the disk says is the environment's trouble, never a job's; the message names the file."""
    try:
        yield
    except OSError as error:
        raise EnvironmentDown(f"the spool can't be used: {error}", PauseReason.BROKER) from error


def _escaped(label: str) -> str:
    return printable(label.replace("%", "%25")).replace("/", "%2F")


def _shortened(label: str) -> str:
    """The end of a long label: it is the part that tells files apart."""
    encoded = label.encode()
    return label if len(encoded) <= LABEL_BYTES else encoded[-LABEL_BYTES:].decode(errors="ignore")
