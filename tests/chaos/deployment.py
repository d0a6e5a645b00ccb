"""Any number of real worker processes on one stack: a broker and a store."""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from tests.builders import settings_fields
from tests.chaos.processes import (
    DEADLINE_S,
    PROJECT,
    Launcher,
    WorkerProcess,
    free_port,
    media_processes,
    new_interpreter,
    probe,
    until,
)
from tests.chaos.stacks import DirectoryStack, Fields, Stack
from tests.chaos.worker_under_test import Plan
from transcriber_worker.app import Office, open_office
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability.events import LogEvent
from transcriber_worker.pipeline.records import TERMINAL, JobRecord
from transcriber_worker.settings import Settings
from transcriber_worker.tools.submitting import Source, Submitter

__all__ = [
    "BRIEF",
    "LEASE_S",
    "LONG",
    "RECORDINGS",
    "Deployment",
    "WorkerProcess",
    "deployed",
    "free_port",
    "media_processes",
    "probe",
    "until",
]

RECORDINGS = PROJECT / "demo" / "recordings"
BRIEF = RECORDINGS / "ferry-notice.wav"
"""8.5 s: one window."""
LONG = RECORDINGS / "night-train.opus"
"""91 s: several windows of 30 s."""
LEASE_S = 3.0


class Deployment:
    """Workers on a stack; their settings, logs and scratch lie below `root`."""

    def __init__(
        self, root: Path, stack: Stack, office: Office, fields: Mapping[str, Any], launch: Launcher = new_interpreter
    ) -> None:
        self.root = root
        self.stack = stack
        self.office = office
        self.workers: list[WorkerProcess] = []
        self._fields = fields
        self._launch = launch
        self._submitter = Submitter(office.broker, office.records, office.places.rules, self.shelve, office.clock)

    @property
    def spool(self) -> Path:
        """Of a directory stack."""
        assert isinstance(self.stack, DirectoryStack)
        return self.stack.spool

    @property
    def transcripts(self) -> Path:
        """Of a directory stack."""
        assert isinstance(self.stack, DirectoryStack)
        return self.stack.transcripts

    def shelve(self, recording: Path, name: str) -> ObjectUri:
        """Put a recording where workers may read it."""
        return self.stack.shelve(self.office, recording, name)

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
        worker = WorkerProcess(config, self.root / f"{name}.log", plan or Plan(), environment or {}, self._launch)
        self.workers.append(worker)
        return worker

    def record(self, job: Job) -> JobRecord | None:
        found = self.office.records.read(job.id)
        return found.record if found else None

    def ended(self, *jobs: Job) -> bool:
        """Whether every job has come to its end, and nothing is left with anybody."""
        records = [self.record(job) for job in jobs]
        over = all(record is not None and record.state in TERMINAL for record in records)
        try:
            return over and not self.messages()
        except OSError:  # a broker that has just come back, or is slow, does not know yet
            return False

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
        try:
            messages = str([str(path) for path in self.messages()])
        except OSError as error:
            messages = f"cannot be told: {error}"
        return "\n".join([*lines, f"messages: {messages}"])

    def messages(self) -> Sequence[PurePath]:
        """Whatever is neither settled nor dead: waiting, delayed, leased, on its way."""
        return self.stack.left()

    def letters(self) -> dict[str, dict[str, Any]]:
        """The dead letters by id."""
        return {letter.id: json.loads(letter.body) for letter in self.office.broker.dead_letters.list()}

    def results(self, job: Job | None = None) -> list[dict[str, Any]]:
        """The result events so far."""
        events = self.stack.results()
        return [event for event in events if job is None or event["subject"] == job.id]

    def lines(self, event: LogEvent) -> list[dict[str, Any]]:
        """What all workers logged of one event."""
        return [line for worker in self.workers for line in worker.lines(event)]

    def outputs(self) -> dict[str, bytes]:
        """Every output by its name below the output prefix; private files left out."""
        return self.stack.outputs()

    def close(self) -> None:
        for worker in self.workers:
            if worker.running:
                worker.signal(signal.SIGKILL)
                worker.ended()


@contextmanager
def deployed(
    root: Path, stack: Stack | None = None, launch: Launcher = new_interpreter, /, **sections: Mapping[str, Any]
) -> Iterator[Deployment]:
    """A deployment whose workers are gone when the block ends, their media processes too. `sections`: settings that
    differ, by section; `broker` those of the directory, which is the stack unless another is given."""
    ground: Stack = stack or DirectoryStack(root, LEASE_S, sections.pop("broker", {}))
    few = {"max_jobs_in_flight": 4}  # or one worker would take a whole backlog, and the others see none of it
    quick = {"lease_s": ground.lease_s, "look_again_s": 0.3, "backoff_s": 0.1, **few, **sections.pop("worker", {})}
    engine = {"slab_s": 30.0, **sections.pop("engine", {})}
    ours: Fields = {"worker": quick, "engine": engine, **{name: dict(fields) for name, fields in sections.items()}}
    fields = settings_fields(root, **_merged(ground.fields(), ours))
    with open_office(Settings.model_validate(fields)) as office:
        deployment = Deployment(root, ground, office, fields, launch)
        try:
            yield deployment
        finally:
            deployment.close()
        for worker in deployment.workers:
            until(lambda worker=worker: not worker.children(), f"no child of {worker.pid} is left", 30.0)  # type: ignore[misc]


def _merged(stack: Fields, ours: Fields) -> Fields:
    return {name: {**stack.get(name, {}), **ours.get(name, {})} for name in {**stack, **ours}}
