"""A spool, an output directory and any number of real worker processes on them, all below one folder."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests.builders import settings_fields
from tests.chaos.worker_under_test import Plan
from transcriber_worker.app import Office, open_office
from transcriber_worker.domain.job import Job
from transcriber_worker.observability.events import LogEvent
from transcriber_worker.pipeline.records import TERMINAL, JobRecord
from transcriber_worker.settings import ENV_PREFIX, Settings
from transcriber_worker.tools.submitting import Source, Submitter

PROJECT = Path(__file__).parents[2]
RECORDINGS = PROJECT / "demo" / "recordings"
BRIEF = RECORDINGS / "ferry-notice.wav"
"""8.5 s: one window."""
LONG = RECORDINGS / "night-train.opus"
"""91 s: several windows of 30 s."""
LEASE_S = 3.0
DEADLINE_S = 90.0
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


class WorkerProcess:
    """One worker. Its log is a file of JSON lines."""

    def __init__(self, config: Path, log: Path, plan: Plan, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.chaos.worker_under_test", str(config)]
        own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        self.log = log
        self._process = subprocess.Popen(
            [*command, json.dumps(dataclasses.asdict(plan))],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**own, **environment},
        )
        self.pid = self._process.pid
        # Through a pipe, as in a container: a full disk must not silence the worker.
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
        return all(task.read_text().rpartition(")")[2].split()[0] in "Tt" for task in tasks)

    def _write_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe, self.log.open("ab", buffering=0) as log:
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


class Deployment:
    """Everything below `root`. `sections`: settings that differ, by section."""

    def __init__(self, root: Path, office: Office, fields: Mapping[str, Any]) -> None:
        self.root = root
        self.office = office
        self.workers: list[WorkerProcess] = []
        self.spool = root / "spool"
        self.transcripts = root / "transcripts"
        self._fields = fields
        self._submitter = Submitter(office.broker, office.records, office.places.rules, office.shelve, office.clock)

    def submit(self, recording: Path, name: str, **options: Any) -> Job:
        """Send a request for a recording, under a name of its own."""
        return self._submitter.submit(Source(name, recording, name), options).job

    def publish(self, body: bytes | Mapping[str, Any], headers: Mapping[str, str] | None = None) -> str:
        """Send any bytes; returns the message's id."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.office.broker.publish(raw, headers or {})

    def start(
        self,
        plan: Plan | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        comment: str = "",
        **sections: Mapping[str, Any],
    ) -> WorkerProcess:
        """Start a worker, with a scratch of its own that is empty unless told otherwise; `sections` differ for it."""
        name = f"worker-{len(self.workers) + 1}"
        fields = json.loads(json.dumps(self._fields))
        fields["worker"] |= {"id": name, "scratch_dir": str(self.root / "scratch" / name)}
        for section, changes in sections.items():
            fields.setdefault(section, {}).update(changes)
        config = self.root / f"{name}.yaml"
        config.write_text(f"# {comment}\n{json.dumps(fields, indent=1)}\n")  # JSON is YAML
        worker = WorkerProcess(config, self.root / f"{name}.log", plan or Plan(), environment or {})
        self.workers.append(worker)
        return worker

    def record(self, job: Job) -> JobRecord | None:
        found = self.office.records.read(job.id)
        return found.record if found else None

    def ended(self, *jobs: Job) -> bool:
        """Whether every job has come to its end, and nothing is left with anybody."""
        records = [self.record(job) for job in jobs]
        over = all(record is not None and record.state in TERMINAL for record in records)
        return over and not self.messages()

    def run_to_end(self, *jobs: Job, within_s: float = DEADLINE_S) -> None:
        """Wait until every job has come to its end."""

        def over() -> bool:
            if not any(worker.running for worker in self.workers):
                raise AssertionError(f"no worker runs any more:\n{self.workers[-1].tail()}")
            return self.ended(*jobs)

        try:
            until(over, "all jobs ended", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe(*jobs)}\n{self.workers[-1].tail()}") from None

    def describe(self, *jobs: Job) -> str:
        lines = [f"{job.name}: {record.state if (record := self.record(job)) else None}" for job in jobs]
        return "\n".join([*lines, f"messages: {[str(path) for path in self.messages()]}"])

    def messages(self) -> list[Path]:
        """Whatever is neither settled nor dead: waiting, delayed, leased, on its way."""
        folders = ("inbox", "leased", "delayed", "adopting")
        return [path for folder in folders for path in (self.spool / folder).iterdir()]

    def letters(self) -> dict[str, dict[str, Any]]:
        """The dead letters by id."""
        return {letter.id: json.loads(letter.body) for letter in self.office.broker.dead_letters.list()}

    def results(self, job: Job | None = None) -> list[dict[str, Any]]:
        """The result events so far."""
        events = [json.loads(path.read_bytes()) for path in sorted((self.spool / "results").rglob("*.json"))]
        return [event for event in events if job is None or event["subject"] == job.id]

    def lines(self, event: LogEvent) -> list[dict[str, Any]]:
        """What all workers logged of one event."""
        return [line for worker in self.workers for line in worker.lines(event)]

    def outputs(self) -> dict[str, bytes]:
        """Every output by its name below the output prefix; private files left out."""
        below = {path: path.relative_to(self.transcripts) for path in self.transcripts.rglob("*") if path.is_file()}
        return {str(name): path.read_bytes() for path, name in below.items() if not str(name).startswith(".")
                and ".writing" not in name.parts}  # fmt: skip

    def close(self) -> None:
        for worker in self.workers:
            if worker.running:
                worker.signal(signal.SIGKILL)
                worker.ended()


@contextmanager
def deployed(root: Path, **sections: Mapping[str, Any]) -> Iterator[Deployment]:
    """A deployment whose workers are gone when the block ends, their media processes too."""
    fields = settings_fields(
        root,
        **{
            **sections,
            "broker": {"directory": {"lease_s": LEASE_S, "poll_s": 0.05, **sections.get("broker", {})}},
            "engine": {"slab_s": 30.0, **sections.get("engine", {})},
            "worker": {"lease_s": LEASE_S, "look_again_s": 0.3, "backoff_s": 0.1, **sections.get("worker", {})},
        },
    )
    with open_office(Settings.model_validate(fields)) as office:
        deployment = Deployment(root, office, fields)
        try:
            yield deployment
        finally:
            deployment.close()
        for worker in deployment.workers:
            until(lambda worker=worker: not worker.children(), f"no child of {worker.pid} is left", 5.0)  # type: ignore[misc]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def probe(port: int, path: str) -> tuple[int, str]:
    """Ask a worker; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""
