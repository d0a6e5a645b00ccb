"""A storm: thousands of jobs through a handful of workers that are killed, stopped and told to leave, over servers that
die and come back, with everything between them going wrong now and then. At the end nothing may be amiss."""

import json
import threading
import time
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.deployment import BRIEF, Deployment, deployed
from tests.chaos.fleet import Fleet
from tests.chaos.processes import Launcher
from tests.chaos.programme import Programme
from tests.chaos.stacks import Stack
from tests.chaos.troubles import Troubles
from tests.chaos.verdicts import Evidence, Verdict, judge
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.request import to_job, validate_request

_AHEAD = 60
"""So many messages wait at most."""
_LEAST = 6
"""So many are kept waiting even when all jobs are published, so that every moment finds work."""
_BATCH = 20
_CALM_S = 120.0
"""All must be done so long after the last trouble."""
_TELL_S = 20.0
Tell = Callable[[str], None]


@dataclass(slots=True)
class Publisher:
    """Publishes by and by."""

    deployment: Deployment
    programme: Programme
    rng: Random
    jobs: list[Job] = field(default_factory=list)
    poison: list[Job] = field(default_factory=list)

    def publish_poison(self) -> None:
        """One job whose workers die of it; it comes first, so that it wanders while the others run."""
        self.poison.append(self._publish(self._tiny(), "poison-1.wav"))

    def publish(self, count: int) -> None:
        for _ in range(count):
            number = len(self.jobs)
            real = self.rng.random() < self.programme.real_media
            recording, kind = (BRIEF, "brief") if real else (self._tiny(), "tiny")
            self.jobs.append(self._publish(recording, f"{kind}-{number:05}.wav"))

    def _publish(self, recording: Path, name: str) -> Job:
        """A publisher tries again until it is told that the message is there."""
        fields = {"version": 1, "source": str(self.deployment.shelve(recording, name))}
        job = to_job(validate_request(fields), self.deployment.office.places.rules, published_at=time.time())
        body = json.dumps(fields).encode()
        copies = 2 if self.rng.random() < self.programme.duplicates else 1
        for attempt in range(50):
            try:
                self.deployment.publish(body)
            except EnvironmentDown:
                assert attempt < 49, "it can't be published"
                continue
            copies -= 1
            if not copies:
                break
        return job

    def _tiny(self) -> Path:
        path = self.deployment.root / "tiny.wav"
        if not path.exists():
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16_000)
                file.writeframes(bytes(3_200))
        return path


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a storm ended."""

    stack: str
    verdict: Verdict
    signals: dict[str, int]
    kill_log: list[str]
    surprises: list[str]
    repeated: int
    needed: int
    restarts: int
    troubles: dict[str, int]
    took_s: float

    def line(self) -> str:
        verdict = self.verdict
        by_signal = ", ".join(f"{name} {count}" for name, count in sorted(self.signals.items()))
        troubles = ", ".join(f"{name} {count}" for name, count in sorted(self.troubles.items()))
        return (
            f"chaos {self.stack}: jobs {verdict.jobs}, "
            f"kills {self.signals.get('SIGKILL', 0)} ({by_signal}; {troubles}), "
            f"lost {len(verdict.lost)}, mixed {len(verdict.mixed)}, visible duplicates {len(verdict.duplicates)}, "
            f"wrongly dead {len(verdict.wrongly_dead)}, charged {len(verdict.charged)}, "
            f"work repeated {self.repeated} ({self.repeated / max(1, self.needed):.1%}), "
            f"{self.restarts} restarts, {self.took_s:.0f} s"
        )

    @property
    def faults(self) -> list[str]:
        return [*self.verdict.faults, *self.surprises]


def run_storm(root: Path, stack: Stack, programme: Programme, launch: Launcher, tell: Tell = lambda _: None) -> Outcome:
    """Let it happen and judge. Raises `AssertionError` where it does not come to an end."""
    worker = {"max_jobs_in_flight": 4, "drain_s": 2.0, "max_backoff_s": 2.0}
    begun = time.monotonic()
    with deployed(root, stack, launch, worker=worker) as deployment:
        rng = Random(programme.seed)
        publisher = Publisher(deployment, programme, rng)
        publisher.publish_poison()
        poison = tuple(job.id for job in publisher.poison)
        fleet = Fleet(deployment, programme.moments(rng), poison, rng)
        troubles = Troubles(stack, fleet, rng, programme.outages)
        storm = _Storm(deployment, publisher, fleet, troubles, programme, tell)
        storm.run()
        fleet.close()
        verdict = judge(Evidence.of(deployment), publisher.jobs, publisher.poison)
        heard = fleet.heard()
        done = [heard[job.id] for job in publisher.jobs]
        return Outcome(
            stack.name,
            verdict,
            dict(fleet.signals()),
            fleet.log(),
            fleet.surprises,
            sum(done) - len(done),
            len(done),
            fleet.restarts,
            dict(troubles.had),
            time.monotonic() - begun,
        )


@dataclass(slots=True)
class _Storm:
    deployment: Deployment
    publisher: Publisher
    fleet: Fleet
    troubles: Troubles
    programme: Programme
    tell: Tell
    never: threading.Event = field(default_factory=threading.Event)
    looked_at: float = 0.0
    told_at: float = 0.0
    moments: int = 0

    def run(self) -> None:
        # However slow the machine: so long per job and per moment, and it is over.
        self.moments = self.fleet.moments_left
        deadline = time.monotonic() + 120 + self.programme.jobs * 0.5 + self.moments * 15
        self.fleet.open(self.programme.workers)
        while not self._raged_out():
            assert time.monotonic() < deadline, f"{self.fleet.moments_left} moments have not come\n{self._state()}"
            self._turn(raging=True)
        self.troubles.end()
        self.tell(f"calm: {len(self.publisher.jobs)} jobs published")
        deadline = time.monotonic() + _CALM_S
        while not self._all_quiet():
            assert time.monotonic() < deadline, f"not all done\n{self._state()}"
            self._turn(raging=False)

    def _turn(self, *, raging: bool) -> None:
        self.fleet.turn()
        if raging:
            self.troubles.turn()
            if self.troubles.all_up and time.monotonic() > self.looked_at + 0.5:
                self.looked_at = time.monotonic()
                self._feed()
        self.never.wait(0.03)

    def _feed(self) -> None:
        """As many as go with the moments that have come, and a few where nothing waits."""
        left = self._left()
        if left is None:
            return
        waiting, published = len(left), len(self.publisher.jobs)
        share = 1 - self.fleet.moments_left / self.moments
        wanted = min(self.programme.jobs, int(share * self.programme.jobs) + _AHEAD) - published
        count = min(_BATCH, wanted) if waiting < _AHEAD else 0
        count = max(count, _LEAST - waiting)
        if count > 0:
            self.publisher.publish(count)
        if time.monotonic() > self.told_at + _TELL_S:
            self.told_at = time.monotonic()
            self.tell(f"{published} jobs published, {self.fleet.moments_left} moments to come, {waiting} waiting")

    def _raged_out(self) -> bool:
        return len(self.publisher.jobs) >= self.programme.jobs and self.fleet.over and self.troubles.over

    def _all_quiet(self) -> bool:
        if time.monotonic() < self.looked_at + 0.5:
            return False
        self.looked_at = time.monotonic()
        left = self._left()
        return left is not None and not left

    def _left(self) -> list[str] | None:
        with suppress(OSError):  # a message that was just moved, a server that is down
            return [str(path) for path in self.deployment.messages()]
        return None

    def _state(self) -> str:
        self.fleet.ask_all_for_stacks()
        left = self._left()
        tails = "\n".join(
            f"{worker.log}\n{worker.tail(4)}" for worker in self.deployment.workers[-self.programme.workers :]
        )
        return f"{len(self.publisher.jobs)} jobs published, left: {left and left[:20]}\n{tails}"
