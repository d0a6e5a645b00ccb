"""Recordings that come by way of the spool: from the inbox, or from `submit`, into audio/, each with its request.

A recording and its request must become visible together, and there is no rename of two files. So a recording is first
moved into a folder of its own under adopting/, which only this adoption knows; whoever finds that folder past its time
goes on from where the adoption stopped. Every step is one rename, and every step may be done twice.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from transcriber_worker.brokers.directory_layout import Entry, Spool, timed, timed_entry
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.uri import ObjectUri, printable
from transcriber_worker.files.durable import sync_directory

LONGEST_NAME_BYTES = 240
"""Of 255: the transcript's name is the recording's with an extension more."""
REQUEST = "request"
FILE = "file"

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP)
_NAME_TAKEN = (FileExistsError, IsADirectoryError, NotADirectoryError)


class AudioShelf:
    """The spool's audio/. Methods raise OSError."""

    def __init__(self, spool: Spool, lease_s: float, clock: Clock) -> None:
        self._spool = spool
        self._lease_s = lease_s
        self._clock = clock

    def adopt(self, dropped: str, published_ms: int) -> Entry | None:
        """Turn the recording inbox/`dropped` into a message; None where another process was faster."""
        entry = Entry.new(published_ms, dropped)
        folder = self._spool.adopting / timed(self._clock.now() + self._lease_s, entry.name)
        claimed = folder / FILE / dropped
        try:
            claimed.parent.mkdir(parents=True)
            (self._spool.inbox / dropped).rename(claimed)
        except OSError as error:
            _remove_empty(folder)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        self._finish(folder, entry)
        return entry

    def recover(self) -> None:
        """Finish the adoptions of processes that were killed, or stopped for longer than a lease."""
        now_ms = int(self._clock.now() * 1000)
        for folder in list(self._spool.adopting.iterdir()):
            named = timed_entry(folder.name)
            if named is not None and named[0] <= now_ms:
                self._finish(folder, named[1])

    def place(self, source: Path, name: str) -> ObjectUri:
        """Link (or copy) a local file into audio/ under `name`, replacing one of that name, and return where it is.

        Raises ValueError for a name that leaves audio/, FileNotFoundError where there is no such file, and OSError.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ValueError(f"{name!r} is no name below audio/")
        original = source.resolve(strict=True)
        target = self._spool.audio / shelf_name("/".join(parts))
        unfinished = self._spool.tmp / uuid.uuid4().hex
        try:
            _link_or_copy(original, unfinished)
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)  # a rename onto another link of the same file leaves both
        sync_directory(target.parent)
        return ObjectUri.from_path(target)

    def _finish(self, folder: Path, entry: Entry) -> None:
        dropped = next(_files_below(folder / FILE), None)
        # Whatever is missing in here, another process has moved meanwhile: it goes on with the rest.
        if dropped is not None:
            with suppress(FileNotFoundError):
                claimed = folder / FILE / dropped
                target = self._free_target(dropped, claimed, entry)
                request = {"version": 1, "source": str(ObjectUri.from_path(target))}
                self._spool.write(folder / REQUEST, json.dumps(request).encode())
                claimed.rename(target)
                sync_directory(target.parent)
        with suppress(FileNotFoundError):
            (folder / REQUEST).rename(self._spool.inbox / entry.name)
        _remove_empty(folder)

    def _free_target(self, dropped: str, claimed: Path, entry: Entry) -> Path:
        """Where the recording goes: to its own name, replacing an older one, unless that is a folder by now or leads
        through a file, or a newer recording was dropped while this one waited for its recovery."""
        target = self._spool.audio / shelf_name(dropped)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            found = target.lstat()
            if not target.is_dir() and found.st_mtime_ns <= claimed.lstat().st_mtime_ns:
                return target
        except FileNotFoundError:
            return target
        except _NAME_TAKEN:
            pass
        return self._spool.audio / shelf_name(f"{entry.id[:8]}-{target.name}")


def shelf_name(dropped: str) -> str:
    """The name a recording gets below audio/: its own, unless a URI or the transcript's file could not carry it."""
    above, separator, name = printable(dropped).rpartition("/")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        suffix = PurePosixPath(name).suffix
        suffix = suffix if len(suffix.encode()) <= 16 else ""
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        room = LONGEST_NAME_BYTES - len(digest) - 1 - len(suffix.encode())
        name = f"{name.encode()[:room].decode(errors='ignore')}~{digest}{suffix}"
    return f"{above}{separator}{name}"


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copy2(source, target)  # with its modification time, which is its version
        with target.open("rb") as copied:
            os.fsync(copied.fileno())


def _files_below(folder: Path) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(above) / name).is_symlink()]
        yield from (str((Path(above) / name).relative_to(folder)) for name in [*names, *links])


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, as far as they are empty: a stopped adoption may still be at work there."""
    with suppress(OSError):
        for above, _, _ in os.walk(folder, topdown=False):
            Path(above).rmdir()
