"""Contenders that do what a test says, and what they work on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability.gpu_reading import GpuReading
from transcriber_worker.observability.process_tree import MachineLoad, Usage
from transcriber_worker.tools.bench.contenders import SPECS, Heard, Kind, Spec
from transcriber_worker.tools.bench.measuring import Meters, Run, Series
from transcriber_worker.tools.bench.programme import Circumstances, Programme, run
from transcriber_worker.tools.bench.remote import Answer, ContenderFailed
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts, Report
from transcriber_worker.tools.bench.workloads import Item, Workload

TEXT = "the morning ferry will leave from the south pier today"
WHERE = Circumstances(
    MachineFacts(cpu="Abacus", cores=2, memory_bytes=8 * 2**30, gpus=(), system="Linux x86_64"),
    ModelFacts(name="base", sha256="0" * 64),
    {"Python": "3.12.1"},
)


def a_spec(name: str = "direct", kind: Kind = Kind.DIRECT) -> Spec:
    return Spec(name, kind, f"what {name} is")


def a_workload(*texts: str | None, name: str = "folder", audio_s: float = 10.0) -> Workload:
    """One file for each text."""
    known = texts or (TEXT,)
    return Workload(name, tuple(Item(Path(f"{n}.wav"), audio_s, text) for n, text in enumerate(known)))


def heard(text: str = TEXT, *, timed_words: int | None = None, audio_s: float = 10.0) -> Heard:
    return Heard(text, len(text.split()) if timed_words is None else timed_words, "en", audio_s)


def a_run(
    wall_s: float = 10.0,
    cpu_s: float = 8.0,
    *texts: str,
    peak_bytes: int = 1000,
    done_s: Sequence[float] = (1.0,),
    counted: Mapping[str, float] | None = None,
) -> Run:
    files = tuple(heard(text) for text in texts or (TEXT,))
    return Run(wall_s, cpu_s, peak_bytes, 0.0, files, tuple(done_s), counted or {})


def a_series(name: str, *runs: Run, failed: str | None = None, workers: int = 2) -> Series:
    return Series(a_spec(name), {"workers": str(workers)}, list(runs), failed)


@dataclass(slots=True)
class ScriptedContender:
    """A `Participant`: answers as told, takes the time it is told on the clock it is given."""

    spec: Spec
    clock: ManualClock
    wall_s: float = 2.0
    cpu_s: float = 3.0
    rss_bytes: Sequence[int] = (100,)
    texts: Sequence[str] = (TEXT,)
    fails_at: Sequence[int] = ()
    """Numbers of the calls, from 0, that fail; the first is the warming up."""
    dies_after: int | None = None
    """Number of the call after which its process is gone."""
    still_busy_s: float = 0.0
    """CPU seconds it goes on using after its answer, one a second."""
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """All contenders' calls in order, where tests give them one list."""
    closed: int = 0
    _number: int = 0
    _used_s: float = 0.0
    _later_s: float = 0.0
    _looks: int = 0
    _looked_at: float = 0.0
    facts: Mapping[str, str] = field(default_factory=lambda: {"workers": "2"})

    def hear(self, paths: Sequence[Path], language: str | None) -> Answer:
        assert language is None
        number, self._number = self._number, self._number + 1
        self.calls.append((self.spec.name, tuple(path.name for path in paths)))
        if number in self.fails_at:
            raise ContenderFailed(f"{self.spec.name}: it fell over")
        self.clock.advance(self.wall_s)
        self._used_s += self.cpu_s
        self._later_s, self._looked_at = self.still_busy_s, self.clock.monotonic()
        return Answer(self.wall_s, tuple(heard(text) for text in self.texts), tuple(self.wall_s for _ in paths), {})

    def usage(self) -> Usage:
        if self.dies_after is not None and self._number > self.dies_after:
            return Usage(0.0, 0)
        now = self.clock.monotonic()
        step_s = min(now - self._looked_at, self._later_s)
        self._looked_at = now
        self._later_s -= step_s
        self._used_s += step_s
        self._looks += 1
        return Usage(self._used_s, self.rss_bytes[self._looks % len(self.rss_bytes)], self._used_s / 3)

    def close(self) -> None:
        self.closed += 1


def no_load() -> MachineLoad:
    """A machine on which nothing else happens."""
    return MachineLoad(0.0, 2)


def no_gpu() -> GpuReading | None:
    """A machine without one."""
    return None


SECONDS = {"direct": 12.0, "pipeline": 6.0, "batched": 3.0, "adaptive": 2.0}
"""Wall clock of each contender with one beam; it takes twice as many CPU seconds."""


class Contest:
    """Scripted contenders, started as a programme wants them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alive: list[str] = []
        self.most_alive = 0
        self.made: list[ScriptedContender] = []
        self.fails: Sequence[str] = ()
        self.texts: dict[str, str] = {}
        self.seconds = dict(SECONDS)

    def start(self, spec: Spec) -> ScriptedContender:
        seconds = self.seconds[spec.name] / spec.beam_size
        contender = ScriptedContender(
            spec,
            self.clock,
            wall_s=seconds,
            cpu_s=2 * seconds,
            texts=(self.texts.get(spec.name, TEXT),),
            fails_at=range(99) if spec.name in self.fails else (),
        )
        self.made.append(contender)
        self.most_alive = max(self.most_alive, sum(not one.closed for one in self.made))
        return contender

    def run(
        self,
        specs: Sequence[Spec] | None = None,
        workloads: Sequence[Workload] | None = None,
        beams: Sequence[int] = (5,),
        *,
        one_at_a_time: bool = False,
    ) -> Report:
        *_, report = self.reports(specs, workloads, beams, one_at_a_time=one_at_a_time)
        return report

    def reports(
        self,
        specs: Sequence[Spec] | None = None,
        workloads: Sequence[Workload] | None = None,
        beams: Sequence[int] = (5,),
        *,
        one_at_a_time: bool = False,
    ) -> Iterator[Report]:
        """As they grow, three rounds for each workload and beam."""
        chosen = tuple(specs) if specs is not None else tuple(SPECS[name] for name in SECONDS)
        works = tuple(workloads) if workloads is not None else (a_workload(audio_s=60.0),)
        works = tuple(replace(w, items=tuple(replace(i, audio_s=10.0) for i in w.items)) for w in works)
        programme = Programme(chosen, works, tuple(beams), 3, one_at_a_time)
        return run(programme, WHERE, self.start, Meters(no_load, self.clock, no_gpu), lambda _: None)
