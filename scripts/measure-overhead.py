#!/usr/bin/env python3
"""What the worker costs beside decoding and finding speech: a model that answers at once, so that all the rest shows.

    python scripts/measure-overhead.py long.mp3                        # 3 copies at once, 5 rounds
    python scripts/measure-overhead.py long.mp3 --jobs 6 --rounds 3 --profile --json figures.json

Figures, not a test. CPU seconds a file, of three ways that take turns, each in a process of its own and after one file
to warm up:

- worker: a whole worker with the directory broker and the fake model, from the message to the settled job; the
  worker's process, its media children, and apart from them what starting a child took (it is done ahead);
- alone: the media room's own decoder and speech detector, in one process;
- faster-whisper: its `decode_audio` and `get_speech_timestamps`, in one process.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROFILE_LINES = 25
WARM_UP = "warm-up"


@dataclass(frozen=True, slots=True)
class Worker:
    """CPU seconds a file."""

    parent: float
    children: float
    child_start: float
    wall: float

    @property
    def warm(self) -> float:
        """With children that had been started before."""
        return self.parent + self.children


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path, help="a recording of some minutes")
    options.add_argument("--jobs", type=int, default=3, help="copies of the file, transcribed at once")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--profile", action="store_true", help="one more round, one file at a time, under cProfile")
    options.add_argument("--json", type=Path, help="where the figures go")
    options.add_argument("--part", choices=["worker", "alone", "faster-whisper"], help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.part:
        print(json.dumps(run_part(chosen.part, chosen.file, chosen.jobs, profiled=chosen.profile)))
        return 0
    workers: list[Worker] = []
    alone: list[float] = []
    plain: list[float] = []
    for number in range(chosen.rounds):
        workers.append(Worker(**part("worker", chosen.file, chosen.jobs)))
        alone.append(part("alone", chosen.file, chosen.jobs))
        plain.append(part("faster-whisper", chosen.file, chosen.jobs))
        show_round(number, workers[-1], alone[-1], plain[-1])
    figures = summary(workers, alone, plain)
    for name, value in figures.items():
        print(f"{name:<40} {value:8.3f}")
    if chosen.profile:
        part("worker", chosen.file, 1, "--profile")
        part("alone", chosen.file, 1, "--profile")
    if chosen.json:
        rounds = {"worker": [asdict(one) for one in workers], "alone": alone, "faster_whisper": plain}
        found = {"python": sysconfig.get_python_version(), "medians": figures, "rounds": rounds}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def part(name: str, file: Path, jobs: int, *more: str) -> Any:
    """The figures of one way, from a process of its own."""
    command = [sys.executable, __file__, str(file.absolute()), "--part", name, "--jobs", str(jobs), *more]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def show_round(number: int, worker: Worker, alone: float, plain: float) -> None:
    print(
        f"round {number + 1}: worker {worker.parent:.3f} + children {worker.children:.3f}"
        f" (+ {worker.child_start:.3f} to start), alone {alone:.3f}, faster-whisper {plain:.3f}"
        f": {worker.warm / alone:.3f} and {worker.warm / plain:.3f} times",
        flush=True,
    )


def summary(workers: list[Worker], alone: list[float], plain: list[float]) -> dict[str, float]:
    """Medians over the rounds; ratios are medians of each round's own."""
    median = statistics.median
    return {
        "worker: parent, CPU s": median(one.parent for one in workers),
        "worker: children, CPU s": median(one.children for one in workers),
        "worker: start of a child, CPU s": median(one.child_start for one in workers),
        "alone, CPU s": median(alone),
        "faster-whisper, CPU s": median(plain),
        "worker / alone": median(one.warm / other for one, other in zip(workers, alone, strict=True)),
        "worker / alone, starts counted": median(
            (one.warm + one.child_start) / other for one, other in zip(workers, alone, strict=True)
        ),
        "worker / faster-whisper": median(one.warm / other for one, other in zip(workers, plain, strict=True)),
    }


def run_part(name: str, file: Path, jobs: int, *, profiled: bool) -> Any:
    """One way's figures."""
    if name == "worker":
        with tempfile.TemporaryDirectory(prefix="measure-") as folder:
            return asdict(WorkerTrial(Path(folder), file, jobs, profiled=profiled).run())
    once = read_alone() if name == "alone" else read_plainly()
    once(file)
    if profiled:
        with cProfile.Profile() as profile:
            once(file)
        show_profile("alone", profile)
    begun = time.process_time()
    for _ in range(jobs):
        once(file)
    return (time.process_time() - begun) / jobs


def read_alone() -> Callable[[Path], None]:
    from transcriber_worker.media.decoder import DecodeOptions, Decoder
    from transcriber_worker.media.opening import open_media
    from transcriber_worker.media.vad import SpeechDetector, SpeechModel

    model = SpeechModel()

    def once(file: Path) -> None:
        with file.open("rb", buffering=0) as opened:
            media, detector = open_media(opened), SpeechDetector(model)
            for block in Decoder(media, DecodeOptions(split=False, clip=None, speed=1.0, max_duration_s=36e3)).blocks():
                detector.feed(block[0])
            detector.finish()

    return once


def read_plainly() -> Callable[[Path], None]:
    from faster_whisper.audio import decode_audio
    from faster_whisper.vad import get_speech_timestamps

    return lambda file: void(get_speech_timestamps(decode_audio(str(file))))


def void(_: object) -> None:
    """Drop a result."""


class WorkerTrial:
    """One worker in this process, a file to warm it up, and the files that count."""

    def __init__(self, folder: Path, file: Path, jobs: int, *, profiled: bool) -> None:
        from transcriber_worker.settings import Settings

        self._file = file
        self._jobs = jobs
        self._profile = cProfile.Profile() if profiled else None
        self._settled = threading.Semaphore(0)
        self._starts_s: list[float] = []
        self._found: Worker | None = None
        self._settings = Settings.model_validate({
            "broker": {"directory": {"path": str(folder / "spool"), "settle_s": 0.0}},
            "storage": {"output": str(folder / "transcripts")},
            "model": {"name": "fake"},
            "worker": {"scratch_dir": str(folder / "scratch")},
            "observability": {"http_port": 0, "log_level": "warning", "log_format": "json"},
        })  # fmt: skip

    def run(self) -> Worker:
        from transcriber_worker.app.worker import run_worker
        from transcriber_worker.worker.signals import StopRequest

        self._watch_children()
        if self._profile is not None:
            self._watch_jobs(self._profile)
        stop = StopRequest()
        publisher = threading.Thread(target=self._publish, args=(stop,))
        publisher.start()
        run_worker(self._settings, stop, observer=self._observe)
        publisher.join()
        if self._found is None:
            raise RuntimeError("the worker ended before its jobs")
        if self._profile is not None:
            show_profile("the worker's own process", self._profile)
        return self._found

    def _publish(self, stop: Any) -> None:
        from transcriber_worker.app.office import open_office
        from transcriber_worker.tools.submitting import Source, Submitter

        with open_office(self._settings) as office:
            submitter = Submitter(office.broker, office.records, office.places.rules, office.shelve, office.clock)
            names = [WARM_UP, *(f"file-{number}" for number in range(self._jobs))]
            sources = [Source(name, self._file, name + self._file.suffix) for name in names]
            submitter.submit(sources[0], {})
            self._settled.acquire()
            begun_s, wall_s = self._spent_s(), time.monotonic()
            self._starts_s.clear()
            for source in sources[1:]:
                submitter.submit(source, {})
            for _ in sources[1:]:
                self._settled.acquire()
            parent_s, children_s = (now - then for now, then in zip(self._spent_s(), begun_s, strict=True))
            start_s, jobs = sum(self._starts_s), self._jobs
            wall_s = time.monotonic() - wall_s
            self._found = Worker(parent_s / jobs, (children_s - start_s) / jobs, start_s / jobs, wall_s / jobs)
        stop.stop("measured")

    @staticmethod
    def _spent_s() -> tuple[float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time(), children.ru_utime + children.ru_stime

    def _watch_children(self) -> None:
        """Note what each child has used by the time its file is handed over."""
        from transcriber_worker.media.process import ReaderProcess

        begin = ReaderProcess.begin

        def noted(process: ReaderProcess, *args: Any) -> None:
            tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
            self._starts_s.append(sum(int(task.read_text().split()[0]) for task in tasks) / 1e9)
            begin(process, *args)

        ReaderProcess.begin = noted  # type: ignore[method-assign,assignment]

    @staticmethod
    def _watch_jobs(profile: cProfile.Profile) -> None:
        """Profile each job's thread; to be used with one job at a time."""
        from transcriber_worker.pipeline.attempt import Attempts

        attend = Attempts.attend

        def profiled(attempts: Attempts, *args: Any, **options: Any) -> None:
            profile.runcall(attend, attempts, *args, **options)

        Attempts.attend = profiled  # type: ignore[method-assign,assignment]

    def _observe(self, _job_id: str, milestone: str, /) -> None:
        if milestone == "settled":
            self._settled.release()


def show_profile(title: str, profile: cProfile.Profile) -> None:
    print(f"\n== {title}", file=sys.stderr)
    pstats.Stats(profile, stream=sys.stderr).strip_dirs().sort_stats("tottime").print_stats(PROFILE_LINES)


if __name__ == "__main__":
    sys.exit(main())
