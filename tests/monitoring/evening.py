"""A deployment with an ordinary evening's troubles, watched by a real Prometheus and drawn as the dashboard:

    python -m tests.monitoring.evening --minutes 8 --output docs/dashboard.png

Two real workers with the small model and the real exporter, on OCI's emulator, work off a backlog of this repository's
recordings. On the way come files that nobody can read, a file that takes its worker down, and an outage. Afterwards
scripts/dashboard-picture.py draws what Prometheus has seen."""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

from tests.chaos.deployment import RECORDINGS
from tests.chaos.processes import PROJECT, WorkerProcess
from tests.chaos.standing import standing
from tests.chaos.worker_under_test import Plan
from tests.chart.tools import tools
from tests.monitoring.prometheus import Prometheus, serving
from tests.monitoring.site import Site, under_watch, unreadable
from transcriber_worker.domain.job import Job

NAMESPACE = "transcription"
SCRAPE_S = 15
POISON = "poison.wav"
PODS = ("calls-1", "calls-2")
BACKLOG, TRICKLE, UNREADABLE = 16, 2, 3
TRICKLE_S = 15.0
OUTAGE_S = 75.0
LULL_S = 60.0
"""Scraped before and after, so that the picture shows where it begins and ends."""
MODEL = {"name": "base", "beam_size": 1, "cache_dir": str(PROJECT / ".models"), "cpu_threads": 1}


@dataclass(slots=True)
class Evening:
    """Time passes by `turn`."""

    site: Site
    length_s: float
    garbage: Path
    jobs: list[Job] = field(default_factory=list)
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    restarts: int = 0
    _poison: str = ""
    _recordings: Iterator[Path] = field(default_factory=lambda: cycle(sorted(RECORDINGS.glob("*.[!j]*"))))
    _done: set[str] = field(default_factory=set)
    _next_trickle_s: float = 0.0
    _down: bool = False

    def begin(self) -> None:
        self.submit(BACKLOG)
        self._poison = replace(self.jobs[0], name=POISON).id
        for pod in PODS:
            self.workers[pod] = self.site.start(self._plan(), pod)
        self.site.start_exporter()

    def turn(self, passed_s: float) -> None:
        """What is due."""
        share = passed_s / self.length_s
        if not self._down and self._due("unreadable", share >= 0.05):
            self.jobs += self.site.submit(UNREADABLE, self.garbage, "unreadable")
        if not self._down and self._due("poison", share >= 0.3):
            poison = self.site.deployment.submit(RECORDINGS / "ferry-notice.wav", POISON)
            assert poison.id == self._poison
            self.jobs.append(poison)
        if self._due("outage", share >= 0.5):
            self.site.deployment.stack.broker.kill()
            self._down = True
        if self._due("end of the outage", share >= 0.5 + OUTAGE_S / self.length_s):
            self.site.deployment.stack.broker.restart()
            self._down = False
        if share < 0.75 and not self._down and passed_s >= self._next_trickle_s:
            self._next_trickle_s = passed_s + TRICKLE_S
            self.submit(TRICKLE)
        self._restart_the_dead()

    def submit(self, count: int) -> None:
        for _ in range(count):
            recording = next(self._recordings)
            name = f"{len(self.jobs):03}-{recording.name}"
            self.jobs.append(self.site.deployment.submit(recording, name))

    def over(self, passed_s: float) -> bool:
        """Whether every trouble has been and every job has come to its end."""
        return passed_s >= 0.75 * self.length_s and not self._down and self.site.deployment.ended(*self.jobs)

    def _restart_the_dead(self) -> None:
        for pod, worker in self.workers.items():
            if not worker.running:
                self.restarts += 1
                self.workers[pod] = self.site.start(self._plan(), pod, scraped=False)

    def _plan(self) -> Plan:
        return Plan(poison=(self._poison,))

    def _due(self, what: str, due: bool) -> bool:
        """Once."""
        if not due or what in self._done:
            return False
        self._done.add(what)
        return True


@contextmanager
def _watched(folder: Path) -> Iterator[tuple[Prometheus, Site]]:
    """Prometheus as it is, without rules: nothing here goes on for long enough."""
    lookback_ms = 300_000
    with (
        serving(str(tools()["prometheus"]), folder / "prometheus", [], SCRAPE_S * 1000, lookback_ms) as prometheus,
        standing("oci_queue", folder) as stack,
        under_watch(NAMESPACE, prometheus, folder, stack, model=MODEL) as site,
    ):
        yield prometheus, site


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    options.add_argument("--minutes", type=float, default=8.0, help="until the last file is submitted: three quarters")
    options.add_argument("--output", type=Path, default=Path("docs/dashboard.png"))
    chosen = options.parse_args()
    pause = threading.Event()
    with tempfile.TemporaryDirectory(prefix="evening-") as temporary:
        folder = Path(temporary)
        garbage = unreadable(folder / "unreadable.wav")
        with _watched(folder) as (prometheus, site):
            since = time.time()
            evening = Evening(site, chosen.minutes * 60, garbage)
            evening.begin()
            while not evening.over(time.time() - since):
                evening.turn(time.time() - since)
                pause.wait(0.5)
            pause.wait(LULL_S)
            letters = sorted(str(letter["reason"]) for letter in site.deployment.letters().values())
            sys.stdout.write(f"{len(evening.jobs)} jobs, {evening.restarts} restarts, dead letters: {letters}\n")
            return _draw(prometheus.url, since, chosen.output)


def _draw(url: str, since: float, output: Path) -> int:
    asked = ["--prometheus", url, "--namespace", NAMESPACE, "--since", str(since), "--scrape-s", str(SCRAPE_S)]
    script = str(PROJECT / "scripts" / "dashboard-picture.py")
    return subprocess.run([sys.executable, script, *asked, "--output", str(output)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
