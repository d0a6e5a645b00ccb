"""The pool with its real reader processes: what comes out of them, and that none outlives its job, whatever happens."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.media_files import (
    PACKED,
    PROJECT,
    RECORDINGS,
    SLABS,
    a_media_job,
    corpus,
    long_silence,
    speech,
    spoken,
    wav_bytes,
    write_media,
)
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.domain.errors import HandBack, JobCancelled, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media.base import MediaReader, MediaRequest, MediaStream, WindowLimits
from transcriber_worker.media.opening import open_media
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.media.reading import Reading
from transcriber_worker.media.vad import SpeechModel
from transcriber_worker.settings import MediaSettings

MIB = 1024 * 1024
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


@pytest.fixture
def pool() -> Iterator[MediaPool]:
    with a_pool() as pool:
        yield pool


class RushingClock(ManualClock):
    """A minute passes between two looks at it, once told to rush."""

    rushes = False

    def monotonic(self) -> float:
        if self.rushes:
            self.advance(60.0)
        return super().monotonic()


def request(path: Path, *, options: MediaOptions | None = None, cancel: CancelToken | None = None) -> MediaRequest:
    return MediaRequest(path, options or MediaOptions(), cancel or CancelToken())


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


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


def test_the_pool_is_a_media_reader(pool: MediaPool) -> None:
    reader: MediaReader = pool
    with reader.open(request(GOOD)) as stream:
        assert stream.info.container == "wav"
        with pytest.raises(RuntimeError):
            _ = stream.report
        (window,) = stream.windows()
        assert stream.report.decoded_s == pytest.approx(8.5, abs=0.01)
        assert len(spoken(window)) > 7 * 16_000


@pytest.mark.parametrize(
    ("name", "options", "limits"),
    [
        ("night-train.opus", MediaOptions(), PACKED),
        ("parcel-call.opus", MediaOptions(channels=Channels.SPLIT), PACKED),
        ("parcel-call.opus", MediaOptions(channels=Channels.SPLIT), SLABS),
        ("slow-clock.m4a", MediaOptions(clip=Span(2.0, 20.0), speed=1.5), SLABS),
        ("storm-damaged.mp3", MediaOptions(), SLABS),
    ],
)
def test_the_process_gives_what_reading_in_process_gives(
    name: str, options: MediaOptions, limits: WindowLimits
) -> None:
    job = a_media_job(split=options.channels is Channels.SPLIT, clip=options.clip, speed=options.speed, limits=limits)
    reading = Reading(open_media(io.BytesIO((RECORDINGS / name).read_bytes())), job, SpeechModel())
    wanted = [step for step in reading.steps() if isinstance(step, Window)]
    with a_pool(limits=limits) as pool, pool.open(request(RECORDINGS / name, options=options)) as stream:
        got = list(stream.windows())
        assert stream.report.gaps == reading.report.gaps
        assert stream.report.warnings == reading.report.warnings
    assert len(got) == len(wanted) > 0
    for mine, theirs in zip(got, wanted, strict=True):
        assert np.array_equal(mine.pcm, theirs.pcm)
        for field in ("index", "channel", "core", "pcm_start_s", "speech", "speed", "pauses"):
            assert getattr(mine, field) == getattr(theirs, field)


def test_the_process_ends_with_the_block_and_another_waits_ahead(pool: MediaPool) -> None:
    stream, pid = opened(pool, GOOD)
    with stream:
        next(iter(stream.windows()))
        until(lambda: len(pool.child_pids()) == 2)
    assert not psutil.pid_exists(pid), "reaped, too"
    assert len(pool.child_pids()) == 1


def test_the_process_ends_where_the_file_is_refused(pool: MediaPool, tmp_path: Path) -> None:
    bad = tmp_path / "source"
    bad.write_bytes(b"not audio")
    until(lambda: len(pool.child_pids()) == 1)
    (pid,) = pool.child_pids()
    with pytest.raises(RejectJob):
        pool.open(request(bad))
    assert not psutil.pid_exists(pid)


def test_a_window_is_made_only_when_asked_for(pool: MediaPool, tmp_path: Path) -> None:
    """After the first slab of 300 s the process stands at little more than a third of the 850 s file, and waits."""
    path = tmp_path / "source"
    path.write_bytes(wav_bytes(np.tile(speech(), 100)))
    stream, pid = opened(pool, path)
    with stream:
        windows = stream.windows()
        next(windows)
        process = psutil.Process(pid)
        until(lambda: process.status() == psutil.STATUS_SLEEPING)
        (file,) = process.open_files()
        assert 0.3 < file.position / path.stat().st_size < 0.45
        next(windows)
        (file,) = process.open_files()
        assert file.position / path.stat().st_size > 0.6


def test_cancelling_ends_a_reading_at_once(pool: MediaPool, tmp_path: Path) -> None:
    cancel = CancelToken()
    stream, pid = opened(pool, long_silence(tmp_path / "source", 36_000.0), cancel)
    caught: list[Exception] = []

    def read() -> None:
        try:
            with stream:
                list(stream.windows())
        except JobCancelled as error:
            caught.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: psutil.Process(pid).cpu_times().user > 0.6)
    os.kill(pid, signal.SIGSTOP)  # it would not notice by itself
    cancel.cancel(JobCancelled("by its user"))
    reader.join(5)
    assert caught
    assert not psutil.pid_exists(pid)


def test_a_cancelled_job_opens_nothing(pool: MediaPool) -> None:
    cancel = CancelToken()
    cancel.cancel(HandBack("stopping"))
    with pytest.raises(HandBack):
        pool.open(request(GOOD, cancel=cancel))


def test_closing_the_pool_ends_what_is_being_read(tmp_path: Path) -> None:
    with a_pool() as pool:
        stream, pid = opened(pool, long_silence(tmp_path / "source", 36_000.0))
        failed = threading.Event()

        def read() -> None:
            try:
                with stream:
                    list(stream.windows())
            except RetryJob:
                failed.set()

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: psutil.Process(pid).cpu_times().user > 0.6)
        pool.close()
        reader.join(5)
        assert failed.is_set()
        with pytest.raises(RetryJob):
            pool.open(request(GOOD))


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


def test_a_reader_that_hangs_is_ended_after_the_wall_limit(tmp_path: Path) -> None:
    clock = RushingClock()
    with a_pool(MediaSettings(window_timeout_s=120.0), clock=clock) as pool:
        stream, pid = opened(pool, GOOD)
        os.kill(pid, signal.SIGSTOP)
        clock.rushes = True
        with stream, pytest.raises(RejectJob) as caught:
            list(stream.windows())
        assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED
        assert "window_timeout_s" in caught.value.message
        assert not psutil.pid_exists(pid)


def test_a_reader_killed_from_outside_is_tried_again(pool: MediaPool) -> None:
    stream, pid = opened(pool, GOOD)
    os.kill(pid, signal.SIGKILL)
    with stream, pytest.raises(RetryJob):
        list(stream.windows())


def test_a_reader_that_crashes_is_the_files_fault(pool: MediaPool) -> None:
    stream, pid = opened(pool, GOOD)
    os.kill(pid, signal.SIGSEGV)
    with stream, pytest.raises(RejectJob) as caught:
        list(stream.windows())
    assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED


def test_a_process_killed_while_it_waited_ahead_is_replaced(pool: MediaPool) -> None:
    until(lambda: len(pool.child_pids()) == 1)
    (pid,) = pool.child_pids()
    os.kill(pid, signal.SIGKILL)
    with pool.open(request(GOOD)) as stream:
        assert len(list(stream.windows())) == 1


def test_processor_time_is_bounded(tmp_path: Path) -> None:
    with a_pool(MediaSettings(cpu_limit_s=1.0)) as pool:
        stream = pool.open(request(long_silence(tmp_path / "source", 36_000.0)))
        with stream, pytest.raises(RejectJob) as caught:
            list(stream.windows())
        assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED
        assert "cpu_limit_s" in caught.value.message


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Eight channels in slabs of half an hour need more than the address space that is left of 384 MiB."""
    path = tmp_path / "source"
    path.write_bytes(wav_bytes(np.stack([np.tile(speech(), 60)] * 8)))
    with a_pool(MediaSettings(memory_limit_bytes=384 * MIB), limits=WindowLimits(1800.0, 1800.0)) as pool:
        with (
            pytest.raises(RejectJob) as caught,
            pool.open(request(path, options=MediaOptions(channels=Channels.SPLIT))) as stream,
        ):
            list(stream.windows())
        assert caught.value.reason is Reason.MEDIA_LIMIT_EXCEEDED
        with pool.open(request(GOOD)) as stream:
            assert len(list(stream.windows())) == 1, "an ordinary file fits"


PARENT = """
import sys, threading
from pathlib import Path
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.settings import MediaSettings
pool = MediaPool(MediaSettings(), WindowLimits(300.0, 300.0), 2, SystemClock())
stream = pool.open(MediaRequest(Path(sys.argv[1]), MediaOptions(), CancelToken()))
threading.Thread(target=lambda: list(stream.windows()), daemon=True).start()
print(*pool.child_pids(), flush=True)
threading.Event().wait()
"""


def test_no_process_survives_a_worker_killed_in_the_middle(tmp_path: Path) -> None:
    """Neither the busy one nor the one that waits ahead."""
    path = long_silence(tmp_path / "source", 36_000.0)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    until(lambda: any(psutil.Process(pid).cpu_times().user > 0.6 for pid in pids))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # neither would notice the end of its pipes
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    try:
        until(lambda: not any(alive(pid) for pid in pids), within_s=5.0)
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


def test_a_stream_outlives_the_thread_that_opened_it(pool: MediaPool) -> None:
    """The kernel's parent-death signal comes when the thread that spawned ends; that is never a job's thread."""
    got: list[MediaStream] = []
    opener = threading.Thread(target=lambda: got.append(pool.open(request(GOOD))))
    opener.start()
    opener.join(60)
    with got[0] as stream:
        assert len(list(stream.windows())) == 1
    with pool.open(request(GOOD)) as stream:
        assert len(list(stream.windows())) == 1, "the one that the ended thread spawned ahead"


def test_several_files_at_once_each_get_their_own(pool: MediaPool) -> None:
    names = ["ferry-notice.wav", "good-bread.mp3", "slow-clock.m4a", "water-meter.wav"]
    found: dict[str, float] = {}

    def read(name: str) -> None:
        with pool.open(request(RECORDINGS / name)) as stream:
            list(stream.windows())
            found[name] = stream.report.end_s

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {
        "ferry-notice.wav": pytest.approx(8.496, abs=0.01),
        "good-bread.mp3": pytest.approx(23.56, abs=0.01),
        "slow-clock.m4a": pytest.approx(25.98, abs=0.05),
        "water-meter.wav": pytest.approx(16.47, abs=0.01),
    }


def test_long_audio_comes_in_slabs(pool: MediaPool) -> None:
    with pool.open(request(corpus("talk11m.mp3"))) as stream:
        windows = list(stream.windows())
    assert len(windows) == 3
    assert all(window.duration_s <= 300.0 for window in windows)
