"""The pool's places: long files take turns, and a short one never waits for them."""

import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.integration.media_pools import GOOD, a_pool, opened, request, until
from tests.media_files import PACKED, long_silence, speech, write_media
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import JobCancelled, RetryJob
from transcriber_worker.media.base import MediaStream
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.settings import MediaSettings


class Opening:
    """A file being opened on a thread of its own."""

    def __init__(self, pool: MediaPool, path: Path) -> None:
        self.cancel = CancelToken()
        self.streams: list[MediaStream] = []
        self.error: Exception | None = None
        self._pool, self._path = pool, path
        self._thread = threading.Thread(target=self._open, daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self.streams.append(self._pool.open(request(self._path, cancel=self.cancel)))
        except (JobCancelled, RetryJob) as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    @property
    def stream(self) -> MediaStream:
        self._thread.join(60)
        return self.streams[0]

    def over(self) -> None:
        self._thread.join(10)
        assert not self.waits


def an_hour(folder: Path, name: str) -> Path:
    return long_silence(folder / name, 3600.0)


def known_long(pool: MediaPool, path: Path, *, beside: int) -> Opening:
    """A long file that was opened in the reserved place and waits for another; so many are being read `beside` it."""
    until(lambda: len(pool.child_pids()) == beside + 1)
    seen = set(pool.child_pids())
    opening = Opening(pool, path)
    # The process spawned ahead opens it and ends.
    until(lambda: bool(seen - set(pool.child_pids())) and opening.waits)
    return opening


def test_a_clip_is_read_while_long_files_have_all_the_places(tmp_path: Path) -> None:
    with a_pool(MediaSettings(processes=2)) as pool:
        first, second = (pool.open(request(an_hour(tmp_path, name))) for name in ("1", "2"))
        third = known_long(pool, an_hour(tmp_path, "3"), beside=2)
        for _ in range(2):
            with pool.open(request(GOOD)) as clip:
                assert len(list(clip.windows())) == 1
                assert clip.report.decoded_s == pytest.approx(8.5, abs=0.01)
        assert third.waits
        assert third.streams == []
        second.__exit__()
        with third.stream as stream:
            assert stream.info.duration_s == pytest.approx(3600.0)
            assert list(stream.windows()) == []
        first.__exit__()


def test_a_clip_that_nobody_takes_does_not_block_the_next(tmp_path: Path) -> None:
    """Its windows are read at once, and wait for it."""
    with a_pool(MediaSettings(processes=1)) as pool, pool.open(request(an_hour(tmp_path, "long"))):
        clips = [pool.open(request(GOOD)) for _ in range(3)]
        assert [len(list(clip.windows())) for clip in clips] == [1, 1, 1]
        assert [clip.report.end_s for clip in clips] == [pytest.approx(8.496, abs=0.01)] * 3
        for clip in clips:
            clip.__exit__()


def test_a_file_longer_than_its_header_says_makes_way_and_loses_nothing(tmp_path: Path) -> None:
    """An mp3 that claims 10 s and lasts four minutes, where all places are taken."""
    liar = write_media(tmp_path / "liar.mp3", np.tile(speech(), 29))
    data = bytearray(liar.read_bytes())
    info = data.index(b"Info") if b"Info" in data else data.index(b"Xing")
    data[info + 8 : info + 12] = (383).to_bytes(4, "big")
    liar.write_bytes(data)
    with a_pool(MediaSettings(processes=1), limits=PACKED) as pool:
        with pool.open(request(liar)) as stream:
            assert stream.info.duration_s == pytest.approx(10.0, abs=0.1)
            wanted = list(stream.windows())
        long = pool.open(request(an_hour(tmp_path, "long")))
        lying = known_long(pool, liar, beside=1)
        with pool.open(request(GOOD)) as clip:
            assert len(list(clip.windows())) == 1
        long.__exit__()
        with lying.stream as stream:
            got = list(stream.windows())
            assert stream.report.end_s == pytest.approx(29 * 8.496, abs=0.2)
        assert [window.core for window in got] == [window.core for window in wanted]
        assert all(np.array_equal(mine.pcm, theirs.pcm) for mine, theirs in zip(got, wanted, strict=True))


def test_no_more_long_files_are_read_at_once_than_allowed(tmp_path: Path) -> None:
    with a_pool(MediaSettings(processes=1)) as pool:
        first = pool.open(request(an_hour(tmp_path, "1")))
        second, third = (known_long(pool, an_hour(tmp_path, name), beside=1) for name in ("2", "3"))
        third.cancel.cancel(JobCancelled("while it waited"))
        third.over()
        assert isinstance(third.error, JobCancelled)
        assert second.waits
        assert len(pool.child_pids()) == 2, "the one that reads, and the one spawned ahead"
        first.__exit__()
        with second.stream as stream:
            assert list(stream.windows()) == []


def test_closing_the_pool_sends_away_who_waits(tmp_path: Path) -> None:
    with a_pool(MediaSettings(processes=1)) as pool:
        first = pool.open(request(an_hour(tmp_path, "1")))
        waiting = known_long(pool, an_hour(tmp_path, "2"), beside=1)
        pool.close()
        waiting.over()
        assert isinstance(waiting.error, RetryJob)
        first.__exit__()


def test_the_place_is_free_as_soon_as_the_file_is_read(tmp_path: Path) -> None:
    """Though whoever reads it still waits for its words, with the stream open."""
    with a_pool(MediaSettings(processes=1)) as pool:
        stream, pid = opened(pool, GOOD)
        list(stream.windows())
        assert not psutil.pid_exists(pid)
        with stream, pool.open(request(an_hour(tmp_path, "1"))), pool.open(request(GOOD)) as clip:
            assert len(list(clip.windows())) == 1
            assert stream.report.decoded_s == pytest.approx(8.5, abs=0.01)
