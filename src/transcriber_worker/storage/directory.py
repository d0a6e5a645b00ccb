"""Objects as files: `file://` URIs below configured roots, with conditional writes atomic between processes."""

import errno
import hashlib
import os
import random
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from io import FileIO
from pathlib import Path

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.files.durable import make_directories, sync_directory, write_synced
from transcriber_worker.storage.base import (
    LARGEST_READ_BYTES,
    Condition,
    ConditionFailed,
    IfAbsent,
    IfMatch,
    ObjectInfo,
    ObjectNotFound,
)
from transcriber_worker.storage.file_copy import copy_content
from transcriber_worker.storage.file_lock import file_lock

WORKSHOP = ".writing"
"""Beside the objects of each directory that is written to: its locks and its unfinished writes. It lies there, and not
below the root, so that processes with differently nested roots still meet at one lock."""
LOCKS_PER_DIRECTORY = 16
ABANDONED_AFTER_S = 3600.0
"""An unfinished write this old belongs to a process that was killed."""
NS_PER_S = 1_000_000_000
_NO_URI = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are no UTF-8: names of other programs' files that no URI can tell."""

_NO_SUCH_OBJECT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO)
_NOT_PERMITTED = (errno.EACCES, errno.EPERM)
_IMPOSSIBLE_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


class DirectoryStore:
    """An `ObjectStore` for one machine (or one shared file system with working flock).

    `roots`: prefixes or single files; whatever leaves them after symlinks are resolved is refused. An etag is a file's
    modification time and size, so it works for files that people put there just as well. `lock_timeout_s`: how long
    to wait for another process's conditional write.
    """

    def __init__(self, clock: Clock, lock_timeout_s: float, roots: Sequence[ObjectUri]) -> None:
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._roots = [ObjectUri.from_path(_resolved(root.path), prefix=root.is_prefix) for root in roots]
        self._swept: set[Path] = set()

    def head(self, uri: ObjectUri) -> ObjectInfo:
        path = self._source(uri)
        with _reading(uri):
            found = _stat(path)
        if found is None:
            raise ObjectNotFound(str(uri))
        return self._info(found)

    def read(self, uri: ObjectUri) -> tuple[bytes, ObjectInfo]:
        with _reading(uri), closing(self._open(uri)) as file:
            before = os.fstat(file.fileno())
            if before.st_size > LARGEST_READ_BYTES:
                message = f"{uri} has {before.st_size} bytes, too many for a transcript: move it away"
                raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, message)
            body = file.readall()
            after = os.fstat(file.fileno())
        if etag_of(before) != etag_of(after) or len(body) != after.st_size:
            raise RetryJob(f"{uri} is being written to")
        return body, self._info(after)

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        with _reading(uri):
            source = self._open(uri)
        unfinished = path.with_name(f".{secrets.token_hex(8)}.tmp")
        with closing(source), _copying(uri, path):
            try:
                _require(etag, source, uri)
                copy_content(source, unfinished)
                # The copy is that version only if nobody wrote to the file while it was read.
                _require(etag, source, uri)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            return self._info(os.fstat(source.fileno()))

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:  # noqa: ARG002 - a file keeps no content type
        path = self._target(uri)
        with _writing(uri):
            _check(condition, _stat(path), uri)  # spares a lost race the cost of a synced file
            unfinished = self._workshop(path) / f"{secrets.token_hex(8)}.tmp"
            try:
                write_synced(unfinished, body)
                # All that is slow happens outside the lock: a process stopped within it would stop everybody.
                with self._locked(path):
                    current = _stat(path)
                    _check(condition, current, uri)
                    written = self._stamp(unfinished, current)
                    unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            sync_directory(path.parent)
        return self._info(written)

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:
        path = self._target(uri)
        with _writing(uri):
            current = _stat(path)
            _check(condition, current, uri)
            if current is None:
                return
            self._workshop(path)
            with self._locked(path):
                _check(condition, _stat(path), uri)
                path.unlink(missing_ok=True)
            sync_directory(path.parent)

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        """Names with a part (below the prefix) that begins with a dot are private and left out."""
        path = self._locate(prefix, Reason.SOURCE_NOT_ALLOWED)
        with _writing(prefix):
            if prefix.is_prefix:
                yield from (prefix.child(name) for name in _names_below(path) if not _NO_URI.search(name))
            elif _stat(path) is not None:
                yield prefix

    def _source(self, uri: ObjectUri) -> Path:
        path = self._locate(uri, Reason.SOURCE_NOT_ALLOWED)
        if uri.is_prefix:
            raise ObjectNotFound(f"{uri} names a directory, not an object")
        return path

    def _target(self, uri: ObjectUri) -> Path:
        path = self._locate(uri, Reason.OUTPUT_NOT_ALLOWED)
        if uri.is_prefix:
            raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, f"{uri} names a directory, not an object")
        located = ObjectUri.from_path(path)
        for root in self._roots:
            if root.is_prefix and root.contains(located) and root.path.exists() and not root.path.is_dir():
                raise EnvironmentDown(f"{root} is no directory any more")  # no job is to blame for that
        return path

    def _locate(self, uri: ObjectUri, reason: Reason) -> Path:
        path = _resolved(uri.path)
        located = ObjectUri.from_path(path, prefix=uri.is_prefix)
        if uri.scheme != "file" or not any(root.contains(located) for root in self._roots):
            raise RejectJob(reason, f"{uri} lies outside the directories that this worker may use")
        return path

    def _open(self, uri: ObjectUri) -> FileIO:
        path = self._source(uri)
        # NONBLOCK: opening a named pipe must not hang. NOFOLLOW: the path is resolved, a link now is a swapped one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = FileIO(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise ObjectNotFound(f"{uri} is no regular file")
        return file

    def _workshop(self, path: Path) -> Path:
        """The workshop of the object's directory; the first visit clears out what killed processes left."""
        workshop = path.parent / WORKSHOP
        make_directories(workshop)
        if workshop not in self._swept:
            self._swept.add(workshop)
            oldest_ns = int((self._clock.now() - ABANDONED_AFTER_S) * NS_PER_S)
            for unfinished in workshop.glob("*.tmp"):
                found = _stat(unfinished)
                if found is not None and found.st_mtime_ns < oldest_ns:
                    unfinished.unlink(missing_ok=True)
        return workshop

    def _locked(self, path: Path) -> AbstractContextManager[None]:
        stripe = hashlib.sha256(os.fsencode(path.name)).digest()[0] % LOCKS_PER_DIRECTORY
        return file_lock(path.parent / WORKSHOP / f"lock-{stripe:x}", self._clock, self._lock_timeout_s)

    def _stamp(self, unfinished: Path, replaced: os.stat_result | None) -> os.stat_result:
        """Give a new version a modification time, and with it an etag, that no version before it had."""
        fresh_ns = int(self._clock.now() * 1_000_000) * 1000 + random.randrange(1000)  # noqa: S311 - no secret
        previous_ns = replaced.st_mtime_ns if replaced is not None else 0
        if fresh_ns <= previous_ns < fresh_ns + NS_PER_S:  # two writes within one tick of the clock
            fresh_ns = previous_ns + 1
        os.utime(unfinished, ns=(fresh_ns, fresh_ns))
        written = unfinished.stat()
        if written.st_mtime_ns != fresh_ns:
            raise EnvironmentDown(f"{unfinished.parent}: the file system keeps no nanoseconds, so versions look alike")
        return written

    def _info(self, found: os.stat_result) -> ObjectInfo:
        return ObjectInfo(etag_of(found), found.st_size, found.st_mtime_ns / NS_PER_S, self._clock.now())


def etag_of(found: os.stat_result) -> str:
    """The version of a file: its modification time in nanoseconds and its size, in hex."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _stat(path: Path) -> os.stat_result | None:
    """What is known of a regular file; None where there is none."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_SUCH_OBJECT:
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) else None


def _check(condition: Condition, current: os.stat_result | None, uri: ObjectUri) -> None:
    if isinstance(condition, IfAbsent) and current is not None:
        raise ConditionFailed(f"{uri} exists")
    if isinstance(condition, IfMatch) and (current is None or etag_of(current) != condition.etag):
        raise ConditionFailed(f"{uri} is another version")


def _require(etag: str, source: FileIO, uri: ObjectUri) -> None:
    if etag_of(os.fstat(source.fileno())) != etag:
        raise ConditionFailed(f"{uri} is another version")


def _names_below(directory: Path, above: str = "") -> Iterator[str]:
    """The names of the regular files below a directory, in the order of their full names."""
    try:
        entries = [entry for entry in os.scandir(directory) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    # A directory sorts as "name/", as it does in an object store: `a.txt` comes before `a/b`.
    named = [(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name, entry) for entry in entries]
    for name, entry in sorted(named, key=lambda pair: pair[0]):
        if name.endswith("/"):
            yield from _names_below(directory / entry.name, above + name)
        elif entry.is_file():
            yield above + name


@contextmanager
def _reading(uri: ObjectUri) -> Iterator[None]:
    """A file that can't be read for its permissions harms only its own job."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH_OBJECT:
            raise ObjectNotFound(str(uri)) from error
        if error.errno == errno.ELOOP:
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, f"{uri} is a symbolic link that changes") from error
        if error.errno in _NOT_PERMITTED:
            raise RetryJob(f"{uri} may not be read by this worker: {error.strerror}") from error
        raise EnvironmentDown(f"{uri}: {error}") from error


@contextmanager
def _copying(uri: ObjectUri, path: Path) -> Iterator[None]:
    """A disk without room is this worker's trouble; whatever else breaks a copy is the source's."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM or error.filename is not None:  # the only files opened by name here are our own
            raise EnvironmentDown(f"can't write {path}: {error}") from error
        raise RetryJob(f"{uri} can't be read: {error.strerror}") from error


@contextmanager
def _writing(uri: ObjectUri) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _IMPOSSIBLE_NAME:
            message = f"{uri} can't be the name of a file here: {error.strerror}"
            raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, message) from error
        raise EnvironmentDown(f"{uri}: {error}") from error
