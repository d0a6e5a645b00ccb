"""A lock between processes that dies with its holder."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown

FIRST_PAUSE_S = 0.0005
LONGEST_PAUSE_S = 0.02


@contextmanager
def file_lock(path: Path, clock: Clock, timeout_s: float) -> Iterator[None]:
    """Hold an exclusive flock on `path`, which is created where missing and never removed.

    Excludes threads as well as processes. Raises `EnvironmentDown` when the holder keeps it for `timeout_s`: that
    process is stopped or its disk hangs, and waiting on would only hang this one too.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(descriptor, path, clock, timeout_s)
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _acquire(descriptor: int, path: Path, clock: Clock, timeout_s: float) -> None:
    never = threading.Event()
    deadline, pause_s = clock.monotonic() + timeout_s, FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if clock.monotonic() >= deadline:
            raise EnvironmentDown(f"another process has held the lock {path} for {timeout_s:g} s: is one stopped?")
        clock.wait(never, pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
