"""What the kernel holds a reader process to."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.media_files import PROJECT, SLABS, long_silence
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.media.base import MediaRequest
from transcriber_worker.media.pool import MediaPool
from transcriber_worker.observability import events
from transcriber_worker.settings import MediaSettings

CANARY = "canary-6f1d"

ATTEMPTS = """
import os, sys, socket, threading, signal, json
from transcriber_worker.media import sandbox
sandbox.detach(os.getppid())
path = sys.argv[1]
sandbox.limit(2 << 30, 60.0)
held = open(path, "rb")
if sys.argv[2] == "sealed":
    sandbox.seal()

def attempt(action):
    try:
        result = action()
        return "done" if result is None or not isinstance(result, int) or result >= 0 else "refused"
    except OSError:
        return "refused"
    except RuntimeError:  # can't start new thread
        return "refused"

results = {
    "open a file": attempt(lambda: os.open(path, os.O_RDONLY)),
    "write a file": attempt(lambda: os.open(path + ".new", os.O_WRONLY | os.O_CREAT)),
    "list a folder": attempt(lambda: os.listdir("/")),
    "make a socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
    "make a local socket": attempt(lambda: socket.socket(socket.AF_UNIX).close()),
    "fork": attempt(lambda: os.waitpid(pid, 0) and None if (pid := os.fork()) else os._exit(0)),
    "start a thread": attempt(lambda: threading.Thread(target=int).start()),
    "run a program": attempt(lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "signal the parent": attempt(lambda: os.kill(os.getppid(), 0)),
    "remove a file": attempt(lambda: os.unlink(path + ".extra")),
    "memory file": attempt(lambda: os.memfd_create("x")),
    "read what is open": attempt(lambda: held.read(1) and None),
    "compute": attempt(lambda: bytearray(50_000_000) and None),
}
os.write(1, json.dumps(results).encode())
"""

ALLOWED = {"read what is open", "compute"}


def attempts(tmp_path: Path, how: str) -> dict[str, str]:
    path = tmp_path / "source"
    path.write_bytes(b"x" * 10)
    (tmp_path / "source.extra").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(path), how],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    return results


def test_a_sealed_process_can_only_compute_and_read_what_is_open(tmp_path: Path) -> None:
    results = attempts(tmp_path, "sealed")
    assert {name for name, result in results.items() if result == "done"} == ALLOWED


def test_an_unsealed_process_could_do_more(tmp_path: Path) -> None:
    """So the test above shows the filter, not a script that can do nothing anyway."""
    results = attempts(tmp_path, "open")
    able = {name for name, result in results.items() if result == "done"}
    assert {"open a file", "list a folder", "make a local socket", "signal the parent", "remove a file"} <= able


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MediaPool, psutil.Process, Path]]:
    """A process in the middle of a file, of a parent with secrets."""
    monkeypatch.setenv("TRANSCRIBER__SECRET", CANARY)
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    inheritable = os.open(secret, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    pool = MediaPool(MediaSettings(), SLABS, 2, SystemClock())
    (pid,) = pool.child_pids() or (pool._ahead.result().pid,)
    (tmp_path / "job").mkdir()
    source = long_silence(tmp_path / "job" / "source", 60.0)
    with pool.open(MediaRequest(source, MediaOptions(), CancelToken())):
        yield pool, psutil.Process(pid), tmp_path
    pool.close()
    os.close(inheritable)


def test_the_process_knows_no_secret(reader: tuple[MediaPool, psutil.Process, Path]) -> None:
    _, process, folder = reader
    assert CANARY not in Path(f"/proc/{process.pid}/environ").read_text()
    assert CANARY not in " ".join(process.cmdline())
    open_files = [file.path for file in process.open_files()]
    assert open_files == [str(folder / "job" / "source")]
    kinds = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert all(kind.startswith("pipe:") for kind in kinds if kind not in open_files)


def test_the_process_stands_in_its_jobs_folder_and_in_a_session_of_its_own(
    reader: tuple[MediaPool, psutil.Process, Path],
) -> None:
    _, process, folder = reader
    assert process.cwd() == str(folder / "job")
    assert os.getsid(process.pid) == process.pid


def test_limits_are_set(reader: tuple[MediaPool, psutil.Process, Path]) -> None:
    _, process, _ = reader
    limits = {
        line[:26].strip(): line[26:].split()[:2]
        for line in Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    }
    settings = MediaSettings()
    assert limits["Max address space"] == [str(settings.memory_limit_bytes)] * 2
    assert limits["Max cpu time"] == [str(int(settings.cpu_limit_s)), str(int(settings.cpu_limit_s) + 1)]
    assert limits["Max file size"] == limits["Max core file size"] == limits["Max processes"] == ["0", "0"]
    assert int(limits["Max open files"][0]) <= 16


def test_no_privilege_is_left(reader: tuple[MediaPool, psutil.Process, Path]) -> None:
    _, process, _ = reader
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["Threads"] == "1"


def test_what_the_pool_says_of_its_protections_is_so(reader: tuple[MediaPool, psutil.Process, Path]) -> None:
    pool, process, _ = reader
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert pool.protections is not None
    assert ("system_call_filter" in pool.protections) == (status["Seccomp"] == "2")
    other_network = Path(f"/proc/{process.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert ("no_network" in pool.protections) == other_network


def test_the_log_says_once_which_protections_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source = long_silence(tmp_path / "source", 1.0)
    pool = MediaPool(MediaSettings(), SLABS, 2, SystemClock())
    for _ in range(2):
        with pool.open(MediaRequest(source, MediaOptions(), CancelToken())):
            pass
    pool.close()

    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (told,) = [line for line in logged if line["event"] == events.MEDIA_SANDBOX.name]
    assert tuple(name for name in events.MEDIA_SANDBOX.fields if told[name]) == pool.protections


def test_this_machine_can_show_both_protections(reader: tuple[MediaPool, psutil.Process, Path]) -> None:
    pool, _, _ = reader
    if pool.protections != ("no_network", "system_call_filter"):
        pytest.skip(f"this kernel or container grants only {pool.protections}")
