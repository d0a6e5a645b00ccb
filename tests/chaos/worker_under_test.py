"""A real worker in a process of its own that can be told to kill or stop itself at an exact moment.

`python -m tests.chaos.worker_under_test CONFIG PLAN`: a settings file, and a `Plan` as JSON.
On SIGUSR1 it writes every thread's stack to its log.
"""

import faulthandler
import functools
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transcriber_worker.app import worker as app
from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, WorkerBroken
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.inference import dispatcher, fake
from transcriber_worker.inference.base import Listener
from transcriber_worker.pipeline import heartbeat
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.settings import Settings
from transcriber_worker.storage import router
from transcriber_worker.storage.base import Condition, ObjectInfo
from transcriber_worker.tools.limits import Machine
from transcriber_worker.worker.signals import StopRequest

BROKEN = 70
COMMITTING = "committing"
"""A moment more than there are milestones: the claim is proven, the transcript not yet written."""
MOMENTS = (*(milestone.value for milestone in Milestone), COMMITTING)
HEARD = "chaos.heard"
"""A line of the log, with the job's id: one window more was heard."""
_HELD_S = 2.0
POISONED = "poisoned"
"""Stands in the kill log for the milestone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the worker does to itself, once: `signal` when for the `nth` time one of `jobs` (None: any) has reached
    `milestone`."""

    milestone: str | None = None
    nth: int = 1
    signal: str = "SIGKILL"
    jobs: tuple[str, ...] | None = None
    log: str | None = None
    """A file that gets a line `<milestone> <job id> <signal> <pid>` with the signal, and by which workers that follow
    know how often a job had one."""
    most_per_job: int = 1_000_000
    poison: tuple[str, ...] = ()
    """Jobs that kill the worker whenever it hears them."""
    pace: float = 0.0
    """Seconds that the fake engine takes per second of audio."""
    held: str | None = None
    """A file; as long as it is there, no window of more than `_HELD_S` comes to its end."""
    deaf: bool = False
    """Like a model, the engine can't be stopped within a window."""
    silent_s: float = 0.0
    """So long after its first heartbeat was due none comes through, neither to the broker nor to the store."""
    tiny_wavs: bool = False
    """Read tiny WAV files without a media process."""
    count_windows: bool = False
    """Write `HEARD` lines."""


class Saboteur:
    """The observer that carries out the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reached = 0
        self._done = False
        self._lock = threading.Lock()

    def __call__(self, job_id: str, milestone: str, /) -> None:
        plan = self._plan
        if plan.count_windows and milestone == Milestone.WINDOW_HEARD:
            os.write(1, json.dumps({"event": HEARD, "job_id": job_id}).encode() + b"\n")
        if job_id in plan.poison and milestone == Milestone.WINDOW_SUBMITTED:
            with self._lock:
                self._write_down(POISONED, job_id, "SIGKILL")
                os.kill(os.getpid(), signal.SIGKILL)
        if milestone != plan.milestone or (plan.jobs is not None and job_id not in plan.jobs):
            return
        with self._lock:
            self._reached += 1
            if self._done or self._reached < plan.nth or self._had(job_id) >= plan.most_per_job:
                return
            self._done = self._write_down(milestone, job_id, plan.signal)
            if self._done:
                # To this very thread: it goes not one step further.
                signal.pthread_kill(threading.get_ident(), signal.Signals[plan.signal])

    def _write_down(self, milestone: str, job_id: str, signal_name: str) -> bool:
        """False where no file can be written to just now, which is not the job's fault."""
        if self._plan.log is None:
            return True
        try:
            with Path(self._plan.log).open("a") as file:
                file.write(f"{milestone} {job_id} {signal_name} {os.getpid()}\n")
        except OSError:
            return False
        return True

    def _had(self, job_id: str) -> int:
        log = Path(self._plan.log) if self._plan.log else None
        return log.read_text().split().count(job_id) if log and log.exists() else 0


def watch_commits(tell: Callable[[str, str], None]) -> None:
    """Tell of `COMMITTING`, whatever store it is."""
    write = router.StoreRouter.write

    def watched(
        self: router.StoreRouter, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None
    ) -> ObjectInfo:
        if content_type == "application/json" and "/.state/" not in uri.key:
            tell(hashlib.sha256(str(uri).encode()).hexdigest()[:32], COMMITTING)  # the id of the job
        return write(self, uri, body, content_type, condition)

    router.StoreRouter.write = watched  # type: ignore[method-assign]


def cut_heartbeats(silent_s: float) -> None:
    renew, first = heartbeat.Heartbeat._renew, threading.local()

    def cut(self: heartbeat.Heartbeat, *pulse: Any) -> None:
        until = first.__dict__.setdefault("until", time.monotonic() + silent_s)
        if time.monotonic() >= until:
            renew(self, *pulse)

    heartbeat.Heartbeat._renew = cut  # type: ignore[method-assign, assignment]


def hold_windows(while_there: Path) -> None:
    hear, never = fake._made_up, threading.Event()

    def held(window: Window, listener: Listener) -> HeardWindow:
        while window.duration_s > _HELD_S and while_there.exists():
            never.wait(0.05)
        return hear(window, listener)

    fake._made_up = held


def read_tiny_wavs_in_process() -> None:
    from tests.chaos.tiny_wavs import TinyWavs  # brings PyAV along

    real = app.make_media

    def media(settings: Settings, machine: Machine, clock: Clock) -> TinyWavs:
        return TinyWavs(lambda: real(settings, machine, clock))

    app.make_media = media  # type: ignore[assignment]


def main(config: str, plan_json: str) -> int:
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, file=2)
    fields: dict[str, Any] = json.loads(plan_json)
    fields |= {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    plan = Plan(**fields)
    fake.FakeEngine = functools.partial(fake.FakeEngine, pace=plan.pace)  # type: ignore[misc, assignment]
    if plan.held:
        hold_windows(Path(plan.held))
    if plan.deaf:
        dispatcher.QueuedFile.check = lambda _: None  # type: ignore[method-assign, assignment]
    if plan.silent_s:
        cut_heartbeats(plan.silent_s)
    if plan.tiny_wavs:
        read_tiny_wavs_in_process()
    saboteur = Saboteur(plan)
    watch_commits(saboteur)
    stop = StopRequest()
    stop.install()
    try:
        app.run_worker(Settings.load(Path(config)), stop, config_file=Path(config), observer=saboteur)
    except (WorkerBroken, EnvironmentDown) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return BROKEN
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # as the command line does: engine threads are not waited for
