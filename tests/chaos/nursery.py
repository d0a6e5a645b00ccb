"""Workers born ready: one process imports everything and forks a worker whenever it is asked to, so that hundreds of
restarts don't cost two seconds of imports each. A newborn is as fresh as any: nothing was started before the fork, no
thread, no connection."""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from tests.chaos.processes import PROJECT, OsProcess
from tests.chaos.worker_under_test import main as work

MODULES = (
    "prometheus_client",
    "transcriber_worker.app",
    "transcriber_worker.inference.fake",
    "transcriber_worker.media.pool",
    "transcriber_worker.observability.health_server",
    "transcriber_worker.pipeline.attempt",
    "transcriber_worker.storage.directory",
    "transcriber_worker.worker.loop",
)
"""What every worker needs; a stack adds its adapters."""
_MESSAGE_BYTES = 131_072


class Newborn:
    """A worker process whose parent is the nursery."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout) or self._code is None:
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
        return self._code

    def send_signal(self, sig: int) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def buried(self, code: int) -> None:
        self._code = code
        self._ended.set()


class Nursery:
    """The asking side; a `Launcher`. Its workers are killed when it closes."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.chaos.nursery", str(theirs.fileno()), *MODULES, *modules]
            self._process = subprocess.Popen(command, cwd=PROJECT, pass_fds=[theirs.fileno()])
        self._born: SimpleQueue[Newborn] = SimpleQueue()
        self._alive: dict[int, Newborn] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def __call__(self, arguments: list[str], environment: Mapping[str, str], output: int) -> OsProcess:
        wish = {"arguments": arguments, "environment": dict(environment)}
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(wish).encode()], [output])
            return self._born.get(timeout=60)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(30)
        self._socket.close()

    def _listen(self) -> None:
        while told := self._socket.recv(_MESSAGE_BYTES):
            pid, code = json.loads(told)
            if code is None:
                self._alive[pid] = newborn = Newborn(pid)
                self._born.put(newborn)
            else:
                self._alive.pop(pid).buried(code)


@contextmanager
def nursery(modules: Sequence[str] = ()) -> Iterator[Nursery]:
    launcher = Nursery(modules)
    try:
        yield launcher
    finally:
        launcher.close()


class _Matron:
    """The process itself."""

    def __init__(self, wishes: socket.socket) -> None:
        self._wishes = wishes
        self._alive: set[int] = set()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Until nobody asks any more."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)
        gc.freeze()
        while True:
            readable, _, _ = select.select([self._wishes.fileno(), self._woken], [], [])
            if self._woken in readable:
                os.read(self._woken, 4096)
                self._bury()
            if self._wishes.fileno() in readable and not self._grant():
                break
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)

    def _grant(self) -> bool:
        told, descriptors, _, _ = socket.recv_fds(self._wishes, _MESSAGE_BYTES, 1)
        if not told:
            return False
        pid = os.fork()
        if pid == 0:
            self._live(json.loads(told), descriptors[0])
        os.close(descriptors[0])
        self._alive.add(pid)
        self._tell(pid, None)
        return True

    def _live(self, wish: dict[str, Any], output: int) -> None:
        """The newborn's own life."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._wishes.close()
        os.close(self._woken)
        os.close(self._waker)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        os.environ.clear()
        os.environ.update(wish["environment"])
        code = 1
        try:
            code = work(*wish["arguments"])
        except BaseException:  # a fresh interpreter would print it and exit too
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        for pid in list(self._alive):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._alive.remove(pid)
                self._tell(pid, os.waitstatus_to_exitcode(status))

    def _tell(self, pid: int, code: int | None) -> None:
        with suppress(OSError):  # nobody listens any more
            self._wishes.send(json.dumps([pid, code]).encode())


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    _Matron(socket.socket(fileno=int(sys.argv[1]))).run()
