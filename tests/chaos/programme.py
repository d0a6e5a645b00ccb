"""What a storm is made of: how many jobs, and when workers are killed, stopped and told to leave. Seeded."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from tests.chaos.worker_under_test import COMMITTING, MOMENTS

SIGNALS = ("SIGKILL", "SIGSTOP", "SIGTERM")


@dataclass(frozen=True, slots=True)
class Moment:
    """When one worker gets a signal: at a milestone it sends it to itself, else it comes from outside."""

    signal: str
    milestone: str | None
    nth: int
    """Which time the milestone is reached."""
    after_s: float
    """From outside: so long after the worker was ready."""


@dataclass(frozen=True, slots=True)
class Programme:
    """`kills`: SIGKILLs of worker processes. `each`: how often at least each signal comes at each milestone; with 0 a
    few are drawn. `outages`: how often the broker and how often the store dies."""

    jobs: int
    kills: int
    each: int = 0
    outages: int = 1
    workers: int = 3
    duplicates: float = 0.05
    """Share of requests that are published twice."""
    real_media: float = 0.03
    """Share of jobs with a recording that a media process reads."""
    seed: int = 1

    def moments(self, rng: Random) -> list[Moment]:
        """In the order they come."""
        if self.each:
            drawn = [pair for pair in product(SIGNALS, MOMENTS) for _ in range(self.each)]
        else:
            drawn = [("SIGKILL", at) for at in rng.sample(MOMENTS, min(len(MOMENTS), self.kills // 2))]
            drawn += [("SIGTERM", at) for at in rng.sample(MOMENTS, 2)]
            drawn += [("SIGSTOP", at) for at in (COMMITTING, rng.choice(MOMENTS))]  # where a zombie could do most
        found = [Moment(signal, at, rng.randint(1, 6), 0.0) for signal, at in drawn]
        at_milestones = sum(signal == "SIGKILL" for signal, _ in drawn)
        found += [_any_time(rng, "SIGKILL") for _ in range(self.kills - at_milestones)]
        found += [_any_time(rng, signal) for signal in ("SIGSTOP", "SIGTERM") for _ in range(max(1, self.each))]
        rng.shuffle(found)
        return found


def _any_time(rng: Random, signal: str) -> Moment:
    return Moment(signal, None, 0, rng.uniform(0.0, 2.5))


def short_of(kill_log: Sequence[str], each: int) -> list[str]:
    """The signals and milestones that the log has less often than that."""
    met = [tuple(line.split()[:3:2]) for line in kill_log]
    return [f"{signal} at {at}" for signal, at in product(SIGNALS, MOMENTS) if met.count((at, signal)) < each]
