"""The media pool with its real reader processes, and what is asked of it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.media_files import RECORDINGS, SLABS
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.media.base import MediaRequest, MediaStream, WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.settings import MediaSettings

GOOD = RECORDINGS / "ferry-notice.wav"


@contextmanager
def a_pool(
    settings: MediaSettings | None = None, *, limits: WindowLimits = SLABS, clock: ManualClock | None = None
) -> Iterator[MediaPool]:
    pool = MediaPool(settings or MediaSettings(), limits, 2, clock or SystemClock())
    try:
        yield pool
    finally:
        pool.close()
        assert pool.child_pids() == ()


def request(path: Path, *, options: MediaOptions | None = None, cancel: CancelToken | None = None) -> MediaRequest:
    return MediaRequest(path, options or MediaOptions(), cancel or CancelToken())


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def reader_of(pool: MediaPool, before: tuple[int, ...]) -> int:
    """The process that a stream took: the one that had been spawned ahead."""
    (pid,) = before
    assert pid in pool.child_pids()
    return pid


def opened(pool: MediaPool, path: Path, cancel: CancelToken | None = None) -> tuple[MediaStream, int]:
    """A stream and its process."""
    until(lambda: len(pool.child_pids()) == 1)
    before = pool.child_pids()
    stream = pool.open(request(path, cancel=cancel))
    return stream, reader_of(pool, before)
