"""Worker processes from outside: start, signal, read their log, wait for their end."""

import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil

from tests.chaos.worker_under_test import Plan
from transcriber_worker.observability.events import LogEvent
from transcriber_worker.settings import ENV_PREFIX

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 90.0
_PORTS = range(10_000, 20_000)
"""Below those that a system gives to clients, and apart from Kafka's."""
_CHILD = "transcriber_worker.media.child"
T = TypeVar("T")


def until(condition: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
    """Wait for something that another process does; returns what `condition` gave."""
    deadline = time.monotonic() + within_s
    never = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {within_s:g} s still not: {what}"
        never.wait(0.03)
    return found


class OsProcess(Protocol):
    """What is used of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Launcher(Protocol):
    """Starts `tests.chaos.worker_under_test` with these arguments, its output going to a descriptor."""

    def __call__(self, arguments: list[str], environment: Mapping[str, str], output: int) -> OsProcess: ...


def new_interpreter(arguments: list[str], environment: Mapping[str, str], output: int) -> OsProcess:
    """A Python of its own: takes about two seconds to import everything."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.worker_under_test", *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    )


class WorkerProcess:
    """One worker. Its log is a file of JSON lines."""

    def __init__(self, config: Path, log: Path, plan: Plan, environment: Mapping[str, str], launch: Launcher) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        self.log = log
        # Through a pipe, as in a container: a full disk must not silence the worker.
        self._pipe, output = os.pipe()
        try:
            arguments = [str(config), json.dumps(dataclasses.asdict(plan))]
            self._process = launch(arguments, {**own, **environment}, output)
        finally:
            os.close(output)
        self.pid = self._process.pid
        log.touch()
        self._writer = threading.Thread(target=self._write_log, daemon=True)
        self._writer.start()

    def lines(self, event: LogEvent | None = None) -> list[dict[str, Any]]:
        """The log so far, or only lines of one event."""
        found = []
        for line in self.log.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n") and line.startswith(b"{"):  # the last one may be half written
                found.append(json.loads(line))
        return found if event is None else [line for line in found if line["event"] == event.name]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self, within_s: float = DEADLINE_S) -> int:
        """Wait for its end; returns the exit code, negative for a signal's number."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {self.pid} has not ended within {within_s:g} s:\n{self.tail()}") from None
        self._writer.join()
        return code

    def stopped(self) -> bool:
        """Whether it was stopped by SIGSTOP, every thread of it."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/stat")
        try:
            return all(task.read_text().rpartition(")")[2].split()[0] in "Tt" for task in tasks) and self.running
        except OSError:
            return False  # a thread that has just ended

    def _write_log(self) -> None:
        with os.fdopen(self._pipe, "rb", buffering=0) as pipe, self.log.open("ab", buffering=0) as log:
            while chunk := os.read(pipe.fileno(), 65_536):
                log.write(chunk)

    def tail(self, count: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def children(self) -> list[int]:
        """Its media processes that are alive, whether it still is or not."""
        return [pid for pid, parent in media_processes() if parent == self.pid]


def media_processes() -> Iterator[tuple[int, int]]:
    """Every media process of this machine, and the worker that it says it belongs to."""
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = process.info["cmdline"] or []
        if _CHILD in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process.info["pid"], json.loads(command[-1])["parent_pid"]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, nor will by chance before a worker does, seconds from now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def probe(port: int, path: str) -> tuple[int, str]:
    """Ask a worker; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""
