"""A real worker in a process of its own that can be told to kill or stop itself at an exact moment.

`python -m tests.chaos.worker_under_test CONFIG PLAN`: a settings file, and a `Plan` as JSON.
"""

import functools
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transcriber_worker.app import run_worker
from transcriber_worker.domain.errors import EnvironmentDown, WorkerBroken
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.inference import dispatcher, fake
from transcriber_worker.settings import Settings
from transcriber_worker.storage import directory
from transcriber_worker.storage.base import Condition, ObjectInfo
from transcriber_worker.worker.signals import StopRequest

BROKEN = 70
COMMITTING = "committing"
"""A moment more than there are milestones: the claim is proven, the transcript not yet written."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the worker does to itself, once: `signal` when for the `nth` time one of `jobs` (None: any) has reached
    `milestone`."""

    milestone: str | None = None
    nth: int = 1
    signal: str = "SIGKILL"
    jobs: tuple[str, ...] | None = None
    log: str | None = None
    """A file that gets a line `<milestone> <job id>` with the signal, and by which workers that follow know how often
    a job had one."""
    most_per_job: int = 1_000_000
    pace: float = 0.0
    """Seconds that the fake engine takes per second of audio."""
    deaf: bool = False
    """Like a model, the engine can't be stopped within a window."""


class Saboteur:
    """The observer that carries out the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reached = 0
        self._done = False
        self._lock = threading.Lock()

    def __call__(self, job_id: str, milestone: str, /) -> None:
        plan = self._plan
        if milestone != plan.milestone or (plan.jobs is not None and job_id not in plan.jobs):
            return
        with self._lock:
            self._reached += 1
            if self._done or self._reached < plan.nth or self._had(job_id) >= plan.most_per_job:
                return
            self._done = True
            if plan.log:
                with Path(plan.log).open("a") as file:
                    file.write(f"{milestone} {job_id}\n")
            # To this very thread: it goes not one step further.
            signal.pthread_kill(threading.get_ident(), signal.Signals[plan.signal])

    def _had(self, job_id: str) -> int:
        log = Path(self._plan.log) if self._plan.log else None
        return log.read_text().split().count(job_id) if log and log.exists() else 0


def watch_commits(saboteur: Saboteur) -> None:
    """Tell the saboteur of `COMMITTING`."""

    class WatchedStore(directory.DirectoryStore):
        def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
            if content_type == "application/json" and "/.state/" not in uri.key:
                saboteur(uri.basename, COMMITTING)
            return super().write(uri, body, content_type, condition)

    directory.DirectoryStore = WatchedStore  # type: ignore[misc]


def main(config: str, plan_json: str) -> int:
    fields: dict[str, Any] = json.loads(plan_json)
    if fields.get("jobs") is not None:
        fields["jobs"] = tuple(fields["jobs"])
    plan = Plan(**fields)
    fake.FakeEngine = functools.partial(fake.FakeEngine, pace=plan.pace)  # type: ignore[misc, assignment]
    if plan.deaf:
        dispatcher.QueuedFile.check = lambda _: None  # type: ignore[method-assign, assignment]
    saboteur = Saboteur(plan)
    watch_commits(saboteur)
    stop = StopRequest()
    stop.install()
    try:
        run_worker(Settings.load(Path(config)), stop, config_file=Path(config), observer=saboteur)
    except (WorkerBroken, EnvironmentDown) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return BROKEN
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # as the command line does: engine threads are not waited for
