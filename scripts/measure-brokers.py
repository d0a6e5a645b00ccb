#!/usr/bin/env python3
"""What the worker itself costs on each broker: the fake model answers at once, so that all the rest shows.

    python scripts/measure-brokers.py                       # every broker, 300 jobs and 100 latencies each
    python scripts/measure-brokers.py --stack kafka --jobs 1000 --json figures.json

Figures, not a test. One worker, the store that goes with the broker (a folder; for kafka and oci_queue the OCI
emulator, which shares the machine's cores), requests as a publisher sends them, recordings of 0.1 s read within the
worker: jobs per second, the worker's CPU per job and where it goes, requests to the services per job, and how soon an
idle worker takes up a message (from its publication to its claim). For figures worth keeping nothing else should run.

The profile comes from a sampler inside the worker: every few milliseconds each thread's CPU time since the last look
(as Linux counts it) is put down to what the thread is at now: the innermost function of the worker's own, and the
package of the innermost function of all.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.deployment import Deployment

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # the stacks and their servers are the tests' own

SAMPLE_S = 0.004
AUDIO_S = 0.1
WARM_UP = 20
USUAL = {"poll_s": 0.03}
"""The default, which the tests' own stack has not."""
AS_WORKER = "--as-worker"


@dataclass(slots=True)
class Figures:
    """Of one broker. Fractions are of the worker's CPU time."""

    stack: str
    jobs: int
    jobs_per_s: float = 0.0
    cpu_ms_per_job: float = 0.0
    latency_ms: dict[str, float] = field(default_factory=dict)
    requests_per_job: dict[str, float] = field(default_factory=dict)
    cpu_by_function: dict[str, float] = field(default_factory=dict)
    cpu_by_package: dict[str, float] = field(default_factory=dict)


class Sampler:
    """Puts this process's CPU time down to functions, from `begin` until `write`."""

    def __init__(self) -> None:
        self.functions: Counter[str] = Counter()
        self.packages: Counter[str] = Counter()
        self._last: dict[int, int] = {}

    def begin(self) -> None:
        threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"functions": self.functions, "packages": self.packages}))

    def _run(self) -> None:
        never, own = threading.Event(), threading.get_native_id()
        while not never.wait(SAMPLE_S):
            frames = sys._current_frames()
            python = {thread.native_id: frames.get(thread.ident or 0) for thread in threading.enumerate()}
            for task in Path("/proc/self/task").iterdir():
                with suppress(OSError):  # one that has just ended
                    self._look(int(task.name), python, own)

    def _look(self, task: int, python: Mapping[int | None, FrameType | None], own: int) -> None:
        spent_ns = int(Path(f"/proc/self/task/{task}/schedstat").read_text().split()[0])
        delta = spent_ns - self._last.get(task, spent_ns)
        self._last[task] = spent_ns
        if task == own or delta <= 0:
            return
        frame = python.get(task)
        if frame is None:
            name = Path(f"/proc/self/task/{task}/comm").read_text().strip().split(":")[0]
            function = package = f"(native thread {name})"
        else:
            function, package = _own_function(frame), _package(frame)
        self.functions[function] += delta
        self.packages[package] += delta


def _own_function(frame: FrameType | None) -> str:
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("transcriber_worker."):
            return f"{name.removeprefix('transcriber_worker.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "(none of the worker's)"


def _package(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", "?"))
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("transcriber_worker", "oci") else parts[0]


def as_worker(profile: str, config: str, plan: str) -> int:
    """A worker that samples itself from SIGUSR2 on, and writes what it saw when it ends."""
    from tests.chaos.worker_under_test import main as work

    sampler = Sampler()
    signal.signal(signal.SIGUSR2, lambda *_: sampler.begin())
    code = work(config, plan)
    sampler.write(Path(profile))
    return code


def measure(name: str, root: Path, jobs: int, latencies: int, in_flight: int) -> Figures:
    """Both trials on one stack."""
    from tests.chaos.deployment import deployed, until
    from tests.chaos.oci_stacks import EmulatedStore
    from tests.chaos.stacks import DirectoryStack
    from tests.chaos.standing import standing
    from tests.chaos.worker_under_test import Plan

    figures, profile = Figures(name, jobs), root / "profile.json"

    def launch(arguments: list[str], environment: Mapping[str, str], output: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, __file__, AS_WORKER, str(profile), *arguments]
        return subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output, env=dict(environment))

    worker_fields = {"max_jobs_in_flight": in_flight}
    with (
        standing(name, root) if name != "directory" else nullcontext(DirectoryStack(root, 60.0, USUAL)) as stack,
        deployed(root, stack, launch, worker=worker_fields, engine={"concurrency": in_flight}) as deployment,
    ):
        trial = Trial(root, deployment)
        trial.publish(WARM_UP + jobs)
        worker = deployment.start(Plan(tiny_wavs=True))
        until(lambda: trial.finished() >= WARM_UP, "the first jobs are done")
        worker.signal(signal.SIGUSR2)
        emulator = stack.emulator if isinstance(stack, EmulatedStore) else None
        if emulator:
            emulator.clear_requests()
        count, begun, cpu_s = trial.finished(), time.monotonic(), cpu_seconds(worker.pid)
        until(lambda: trial.finished() >= WARM_UP + jobs, "all jobs done", within_s=600)
        count, wall_s = trial.finished() - count, time.monotonic() - begun
        figures.jobs_per_s = count / wall_s
        figures.cpu_ms_per_job = 1000 * (cpu_seconds(worker.pid) - cpu_s) / count
        if emulator:
            figures.requests_per_job = {key: number / count for key, number in sorted(emulator.counts().items())}
        worker.signal(signal.SIGTERM)
        worker.ended()
        found = json.loads(profile.read_text())
        figures.cpu_by_function, figures.cpu_by_package = shares(found["functions"]), shares(found["packages"])

        deployment.start(Plan(tiny_wavs=True))
        figures.latency_ms = trial.latencies(latencies)
    return figures


class Trial:
    """Sends requests to a deployment and reads from its workers' logs what became of them."""

    def __init__(self, root: Path, deployment: "Deployment") -> None:
        from tests.builders import write_wav

        self._deployment = deployment
        self._audio = write_wav(root / "tiny.wav", AUDIO_S)
        self._published = 0
        self._rng = random.Random(1)  # noqa: S311 - pauses, no secrets

    def publish(self, count: int) -> None:
        for _ in range(count):
            self._published += 1
            source = self._deployment.shelve(self._audio, f"call-{self._published}.wav")
            self._deployment.publish({"version": 1, "source": str(source)})

    def finished(self) -> int:
        return sum(worker.log.read_bytes().count(b'"job.finished"') for worker in self._deployment.workers)

    def latencies(self, count: int) -> dict[str, float]:
        """Publish one at a time to an idle worker."""
        from transcriber_worker.observability import events

        self._one()  # it has started by then
        for _ in range(count):
            time.sleep(self._rng.uniform(0.2, 0.5))
            self._one()
        lines = self._deployment.workers[-1].lines(events.JOB_FINISHED)
        waits = sorted(1000 * line["queue_wait_s"] for line in lines[1:])
        return {
            "median": statistics.median(waits),
            "p95": waits[int(0.95 * len(waits))],
            "most": waits[-1],
            "count": len(waits),
        }

    def _one(self) -> None:
        from tests.chaos.deployment import until

        before = self.finished()
        self.publish(1)
        until(lambda: self.finished() > before, "one more job done")


def cpu_seconds(pid: int) -> float:
    """What a process has used, the time in the kernel too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(spent_ns: Mapping[str, int], most: int = 15) -> dict[str, float]:
    """The largest, as fractions of all."""
    total = sum(spent_ns.values()) or 1
    return {name: spent / total for name, spent in Counter(spent_ns).most_common(most)}


def show(all_figures: list[Figures]) -> None:
    """The tables."""
    print(f"\n{'':<10} {'':>8} {'CPU ms':>8} {'idle to claimed, ms':>23} {'requests':>9}")
    print(f"{'broker':<10} {'jobs/s':>8} {'per job':>8} {'median':>9} {'p95':>6} {'most':>6} {'per job':>9}")
    for one in all_figures:
        latency = one.latency_ms
        print(
            f"{one.stack:<10} {one.jobs_per_s:>8.1f} {one.cpu_ms_per_job:>8.1f} {latency['median']:>9.1f}"
            f" {latency['p95']:>6.1f} {latency['most']:>6.1f} {sum(one.requests_per_job.values()):>9.1f}"
        )
    for one in all_figures:
        requests = "  ".join(f"{name} {number:.2f}" for name, number in one.requests_per_job.items())
        print(f"\n{one.stack}: requests per job: {requests or 'none'}")
        for title, table in (("function", one.cpu_by_function), ("package", one.cpu_by_package)):
            print(f"  CPU by {title}:")
            for name, share in table.items():
                print(f"    {share:>6.1%}  {name}")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--stack", choices=["directory", "kafka", "oci_queue"], action="append")
    options.add_argument("--jobs", type=int, default=300)
    options.add_argument("--latencies", type=int, default=100)
    options.add_argument("--in-flight", type=int, default=6, help="jobs at once; 6 is the default of the settings")
    options.add_argument("--json", type=Path, help="where the figures go; default: the last line")
    chosen = options.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        for stack in chosen.stack or ["directory", "kafka", "oci_queue"]:
            root = Path(folder) / stack
            root.mkdir()
            print(f"measuring {stack} ...", flush=True)
            figures.append(measure(stack, root, chosen.jobs, chosen.latencies, chosen.in_flight))
    show(figures)
    text = json.dumps({"python": sysconfig.get_python_version(), "figures": [asdict(one) for one in figures]})
    if chosen.json:
        chosen.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    if AS_WORKER in sys.argv[1:2]:
        code = as_worker(*sys.argv[2:])
        sys.stderr.flush()
        os._exit(code)
    sys.exit(main())
