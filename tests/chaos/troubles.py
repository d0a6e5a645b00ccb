"""What goes wrong around the workers: servers die and come back, answers are broken on their way, disks are full."""

import resource
import time
from collections import Counter
from contextlib import ExitStack, suppress
from random import Random

from tests.chaos.fleet import Fleet
from tests.chaos.stacks import Server, Stack


class Troubles:
    """One trouble at a time, with pauses in between. `outages`: how often the broker and how often the store dies."""

    def __init__(self, stack: Stack, fleet: Fleet, rng: Random, outages: int) -> None:
        self.had: Counter[str] = Counter()
        self._stack = stack
        self._fleet = fleet
        self._rng = rng
        servers = {"broker": stack.broker, "store": stack.store}
        self._due = [pair for pair in servers.items() for _ in range(outages)]
        rng.shuffle(self._due)
        self._down: Server | None = None
        self._going_on = ExitStack()
        self._until = 0.0
        self._next = time.monotonic() + 4.0

    @property
    def all_up(self) -> bool:
        return self._down is None

    @property
    def over(self) -> bool:
        """Whether every server has died as often as it should."""
        return not self._due and self._down is None

    def turn(self) -> None:
        """End what has lasted long enough; begin what is due."""
        now = time.monotonic()
        if now < self._until:
            return
        if self._until:
            self.end()
            self._next = now + self._rng.uniform(1.0, 3.0)
        elif now >= self._next:
            self._begin()

    def end(self) -> None:
        """Nothing is wrong any more."""
        self._until = 0.0
        self._going_on.close()
        if self._down is not None:
            self._down.restart()
            self._down = None
        self._fleet.disturb(disturbed=False)

    def _begin(self) -> None:
        self._until = time.monotonic() + self._rng.uniform(1.5, 4.0)
        self._fleet.disturb(disturbed=True)
        if self._due and self._rng.random() < 0.5:
            name, server = self._due.pop()
            server.kill()
            self._down = server
            self.had[f"{name} killed"] += 1
        elif self._rng.random() < 0.2:
            self._fill_a_disk()
        else:
            name = self._going_on.enter_context(self._stack.mischief(self._rng))
            self.had.update([name] if name else [])

    def _fill_a_disk(self) -> None:
        """One worker can't write a single byte to any file."""
        worker = self._fleet.one_at_work()
        if worker is None:
            return
        with suppress(ProcessLookupError):
            soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            self._going_on.callback(_limit, worker.pid, (soft, hard))
            self.had["disk full"] += 1


def _limit(pid: int, limits: tuple[int, int]) -> None:
    with suppress(ProcessLookupError):  # it has ended by now
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
