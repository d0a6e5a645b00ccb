"""The parent's end of one reader process."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import transcriber_worker
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.media.protocol import (
    CREDIT_LINE,
    PREFIX,
    MediaJob,
    Message,
    ProtocolError,
    Ready,
    decode,
    encode_job,
    parse_prefix,
)
from transcriber_worker.settings import MediaSettings

PROGRAM = (sys.executable, "-P", "-s", "-B", "-m", "transcriber_worker.media.child")
"""Without the current folder on the module path: a downloaded file must not become a module."""
START_TIMEOUT_S = 60.0
_STDERR_BYTES = 4096
_PIPE_BYTES = 1024 * 1024
_LOOK_S = 0.25
"""How often a deadline is compared with the injected clock while nothing arrives."""
_EXIT_WAIT_S = 10.0
_PASSED_ON = ("LD_LIBRARY_PATH",)
_CRASH_SIGNALS: Final = frozenset((
    signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGXFSZ,
))  # fmt: skip


class ReaderProcess:
    """One child for one file. To be made in a thread that outlives it: the kernel ends the child with that thread."""

    def __init__(
        self, settings: MediaSettings, max_payload_bytes: int, clock: Clock, program: Sequence[str] = PROGRAM
    ) -> None:
        self._settings = settings
        self._max_payload_bytes = max_payload_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._killed: str | None = None
        self._stderr = bytearray()
        limits = {
            "parent_pid": os.getpid(),
            "memory_bytes": settings.memory_limit_bytes,
            "cpu_s": settings.cpu_limit_s,
        }
        self._process = subprocess.Popen(
            [*program, json.dumps(limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            close_fds=True,
            start_new_session=True,
            cwd="/",
            env=child_environment(),
        )
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._pipes = tuple(pipe for pipe in pipes if pipe is not None)
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self._err, False)
        _widen(self._out)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> Ready:
        """Wait for the imports to be done. Raises `WorkerBroken` where the child can't start at all."""
        message = self.receive(START_TIMEOUT_S, starting=True)
        if not isinstance(message, Ready):
            raise self._broken_protocol(f"{type(message).__name__} before it was ready")
        return message

    def begin(self, job: MediaJob) -> None:
        """Hand the file over."""
        self._tell(encode_job(job))

    def grant(self) -> None:
        """Let it make one window."""
        self._tell(CREDIT_LINE)

    def receive(self, timeout_s: float, *, starting: bool = False) -> Message:
        """The next message, within `timeout_s` of the clock; raises what the child's end or silence means for the
        job."""
        deadline = self._clock.monotonic() + timeout_s
        try:
            prefix = self._read(PREFIX.size, deadline, starting=starting)
            header_bytes, payload_bytes = parse_prefix(bytes(prefix), self._max_payload_bytes)
            header = self._read(header_bytes, deadline, starting=starting)
            return decode(bytes(header), self._read(payload_bytes, deadline, starting=starting))
        except ProtocolError as error:
            raise self._broken_protocol(str(error)) from error

    def kill(self, why: str) -> None:
        """End it now, whatever it does. Safe from any thread and more than once."""
        with self._lock:
            self._killed = self._killed or why
            # Popen.poll reaps; without the lock the pid could be another process's by the time of the signal.
            if self._process.poll() is None:
                self._process.kill()

    def close(self) -> None:
        """End it and collect what is left of it."""
        self.kill("closed")
        self._process.wait(_EXIT_WAIT_S)
        for pipe in self._pipes:
            pipe.close()

    def _tell(self, line: bytes) -> None:
        try:
            os.write(self._in, line)
        except OSError:
            raise self._ended(starting=False) from None

    def _read(self, count: int, deadline: float, *, starting: bool) -> bytearray:
        """Exactly `count` bytes; what the child writes to stderr meanwhile is kept."""
        data = bytearray(count)
        rest = memoryview(data)
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._err, select.POLLIN)
        while rest:
            ready = dict(poll.poll(_LOOK_S * 1000))
            if self._err in ready and not self._keep_stderr():
                poll.unregister(self._err)
            if self._out in ready:
                length = os.readv(self._out, [rest])
                if not length:
                    raise self._ended(starting=starting)
                rest = rest[length:]
            if rest and self._clock.monotonic() > deadline:
                raise self._too_slow(starting=starting)
        return data

    def _keep_stderr(self) -> bool:
        try:
            text = os.read(self._err, _PIPE_BYTES)
        except BlockingIOError:
            return True
        self._stderr += text
        del self._stderr[:-_STDERR_BYTES]
        return bool(text)

    def _too_slow(self, *, starting: bool) -> Exception:
        self.kill("too slow")
        if starting:
            return RetryJob("The media reader did not start in time.")
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED,
            f"Reading the file took longer than {self._settings.window_timeout_s:.0f} s for one window "
            "(media.window_timeout_s): convert it to a plain format such as flac, or raise the limit.",
        )

    def _broken_protocol(self, what: str) -> RejectJob:
        self.kill("broke the protocol")
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED, f"The media reader went out of control on this file ({what}) and was ended."
        )

    def _ended(self, *, starting: bool) -> Exception:
        """What it means that the child is gone."""
        try:
            code = self._process.wait(_EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return self._broken_protocol("silent, but alive")
        self._keep_stderr()
        if self._killed is not None:
            return RetryJob(f"The media reader was ended: {self._killed}.")
        return death(code, self._last_words(), self._settings, starting=starting)

    def _last_words(self) -> str:
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"


def death(code: int, last_words: str, settings: MediaSettings, *, starting: bool) -> Exception:
    """What the exit code of a child that we did not end means: an innocent job is given back, a guilty file refused,
    and an installation in which no child starts ends the worker."""
    if code == -signal.SIGXCPU:
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED,
            f"Reading the file needs more than {settings.cpu_limit_s:.0f} s of processor time (media.cpu_limit_s): "
            "convert it to a plain format such as flac, or raise the limit.",
        )
    if -code in _CRASH_SIGNALS and not starting:
        name = signal.Signals(-code).name
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED,
            f"Reading the file crashed the media reader ({name}), for want of memory or because the file is malformed: "
            "convert it to a plain format such as flac.",
        )
    if code < 0:
        return RetryJob(f"The media reader was killed from outside (signal {-code}), perhaps for want of memory.")
    if starting:
        return WorkerBroken(f"The media reader does not start (exit code {code}: {last_words}).")
    return RetryJob(f"The media reader failed (exit code {code}: {last_words}).")


def child_environment() -> dict[str, str]:
    """What a child may know: how to find the code, and to use one thread. No variable of ours passes otherwise."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | {
        "PYTHONPATH": str(Path(transcriber_worker.__file__).parents[1]),
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _widen(pipe: int) -> None:
    """Fewer, larger reads; the kernel may refuse beyond its limit per user."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return
