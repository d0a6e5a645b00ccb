"""What waits in the spool's inbox: messages, and what people dropped there."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from transcriber_worker.brokers.directory_audio import AudioShelf
from transcriber_worker.brokers.directory_layout import LARGEST_REQUEST_BYTES, Entry, Spool, is_entry
from transcriber_worker.domain.clock import Clock

UNFINISHED_SUFFIXES = (".tmp", ".part", ".crdownload")
DEEPEST_FOLDER = 64
"""Folders below this many others are left alone: what is moved out of them needs its folders made again elsewhere."""
NS_PER_S = 1_000_000_000
_CANT_TAKE_FROM = (errno.EACCES, errno.EPERM, errno.EXDEV, errno.ENAMETOOLONG)


class Kind(IntEnum):
    MESSAGE = 0
    """Ours: published, redelivered, or admitted before."""
    REQUEST = 1
    """A request's JSON that somebody dropped."""
    RECORDING = 2
    """Whatever else somebody dropped."""


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A file of the inbox that may be leased. They sort oldest first."""

    published_ms: int
    modified_ns: int
    """Tells apart what appeared within one ms; 0 for messages."""
    name: str
    """Below inbox/."""
    kind: Kind


class Inbox:
    """Finds what waits, and makes messages of what people dropped. `settle_s`: how long a dropped file must not have
    been written to before it counts as complete. Methods raise OSError."""

    def __init__(self, spool: Spool, settle_s: float, shelf: AudioShelf, clock: Clock) -> None:
        self._spool = spool
        self._settle_ns = int(settle_s * NS_PER_S)
        self._shelf = shelf
        self._clock = clock
        self._from_the_future: dict[str, tuple[str, int]] = {}
        """Dropped files that are newer than now: their version, and when this process first saw it."""

    def scan(self) -> list[Waiting]:
        """All that may be leased now, the oldest last. Only dropped files cost a stat each."""
        seen: set[str] = set()
        waiting = [found for entry, name in _files(self._spool.inbox) if (found := self._look(entry, name, seen))]
        self._from_the_future = {name: at for name, at in self._from_the_future.items() if name in seen}
        waiting.sort(reverse=True)
        return waiting

    def admit(self, waiting: Waiting) -> Entry | None:
        """The message that `waiting` is, or becomes by this; None where it is no longer there or not complete."""
        if waiting.kind is Kind.MESSAGE:
            return Entry.parse(waiting.name)
        path = self._spool.inbox / waiting.name
        try:
            found = path.lstat()
            if not (_can_be_taken(found) and self._settled(waiting.name, found)):
                return None
            if waiting.kind is Kind.RECORDING:
                return self._shelf.adopt(waiting.name, waiting.published_ms)
            entry = Entry.new(waiting.published_ms, waiting.name)
            path.rename(self._spool.inbox / entry.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            if path.parent == self._spool.inbox or error.errno not in _CANT_TAKE_FROM:
                raise
            return None  # somebody's sub-folder that we can't take from must not stop everything else
        return entry

    def _look(self, entry: os.DirEntry[str], name: str, seen: set[str]) -> Waiting | None:
        try:
            # A person can give anything such a name; a link, say, is then treated as any other that was dropped.
            if name == entry.name and is_entry(name) and entry.is_file(follow_symlinks=False):
                return Waiting(int(name[:13]), 0, name, Kind.MESSAGE)
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError:
            if name == entry.name:
                raise
            return None  # a person's folder: its trouble must not stop everything else
        seen.add(name)
        if not (_can_be_taken(found) and self._settled(name, found)):
            return None
        # A moved or copied file may keep a modification time of long ago; its change time tells when it came here.
        published_s = min(self._clock.now(), max(found.st_mtime, found.st_ctime))
        kind = Kind.REQUEST if _is_request(entry, found) else Kind.RECORDING
        return Waiting(max(0, int(published_s * 1000)), found.st_mtime_ns, name, kind)

    def _settled(self, name: str, found: os.stat_result) -> bool:
        now_ns = int(self._clock.now() * NS_PER_S)
        age_ns = now_ns - found.st_mtime_ns
        if age_ns >= 0:
            return age_ns >= self._settle_ns
        version = f"{found.st_mtime_ns}-{found.st_size}"
        known, since_ns = self._from_the_future.get(name, ("", now_ns))
        if known != version:
            self._from_the_future[name] = (version, since_ns := now_ns)
        return now_ns - since_ns >= self._settle_ns


def _files(inbox: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Everything that is no folder, no hidden file and no unfinished download, with its name below the inbox."""
    pending = [("", 0)]
    while pending:
        above, depth = pending.pop()
        try:
            with os.scandir(inbox / above) as entries:
                for entry in entries:
                    name = above + entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if depth < DEEPEST_FOLDER:
                            pending.append((f"{name}/", depth + 1))
                    elif not entry.name.lower().endswith(UNFINISHED_SUFFIXES):
                        yield entry, name
        except OSError:
            if not above:  # else a person's folder: its trouble must not stop everything else
                raise


def _can_be_taken(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)


def _is_request(entry: os.DirEntry[str], found: os.stat_result) -> bool:
    """A .json that is a link, huge or unreadable is kept like a recording instead: its job ends as a dead letter that
    says why, and the file is not lost."""
    return (
        entry.name.lower().endswith(".json")
        and stat.S_ISREG(found.st_mode)
        and found.st_size <= LARGEST_REQUEST_BYTES
        and os.access(entry.path, os.R_OK)
    )
