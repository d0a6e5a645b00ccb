"""The pool's reader processes: none outlives its job, whatever happens, and none takes more than it may."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.integration.media_pools import GOOD, a_pool, opened, request, until
from tests.media_files import PROJECT, long_silence, speech, wav_bytes
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import HandBack, JobCancelled, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.settings import MIB, MediaSettings


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


class RushingClock(ManualClock):
    """A minute passes between two looks at it, once told to rush."""

    rushes = False

    def monotonic(self) -> float:
        if self.rushes:
            self.advance(60.0)
        return super().monotonic()


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


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


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
