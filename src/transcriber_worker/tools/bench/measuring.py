"""Rounds: every contender in turn on the same files, one at a time, the others idle."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from transcriber_worker.domain.clock import Clock
from transcriber_worker.observability.process_tree import MachineLoad
from transcriber_worker.tools.bench.contenders import Heard, Spec
from transcriber_worker.tools.bench.gpu_watch import GpuUse, GpuWatch, ReadGpu
from transcriber_worker.tools.bench.remote import ContenderFailed, Participant
from transcriber_worker.tools.bench.workloads import Workload

SAMPLE_S = 0.25
"""How often memory is looked at."""
_LOOK_S = 0.2
_IDLE_SHARE = 0.05
"""Of a core. Less than this is nothing: a thread that wakes up now and then."""
_SETTLE_S = 20.0
_DURATION_SLACK_S = 2.0

Tell = Callable[[str], None]
"""Takes a line for a human who waits."""

LoadMeter = Callable[[], MachineLoad]

Start = Callable[[Spec], Participant]
"""Starts a contender's process and loads its model; raises `ContenderFailed`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One contender, one workload, one round."""

    wall_s: float
    cpu_s: float
    """Of its process and its children, with what they still do once the last text is there."""
    peak_bytes: int
    """Most resident memory seen, children and what they share counted."""
    others_share: float
    """Share of the machine's processors that was taken by something else meanwhile."""
    heard: tuple[Heard, ...]
    done_s: tuple[float, ...]
    counted: Mapping[str, float]
    own_cpu_s: float = 0.0
    """Of its process alone."""
    gpu: GpuUse | None = None


@dataclass(slots=True)
class Series:
    """What became of one contender on one workload."""

    spec: Spec
    facts: Mapping[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    failed: str | None = None
    """Why it has no figures: a contender that fails once is out."""


class Booth:
    """Where a contender waits for its turns. It is started at its first one and, before anything is measured, hears
    `warm_up`, on each of its workers where it hears file by file. Unless it is to `stay`, it is ended after each
    turn."""

    def __init__(self, spec: Spec, start: Start, warm_up: Path, *, stay: bool) -> None:
        self.spec = spec
        self._start = start
        self._warm_up = warm_up
        self._stay = stay
        self._inside: Participant | None = None

    @contextmanager
    def turn(self) -> Iterator[Participant]:
        """The contender, ready. Raises `ContenderFailed`; one that failed is started anew for its next turn."""
        try:
            if self._inside is None:
                self._inside = self._start(self.spec)
                self._inside.hear([self._warm_up] * self.spec.at_once, None)
            yield self._inside
        except ContenderFailed:
            self.close()
            raise
        if not self._stay:
            self.close()

    def close(self) -> None:
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.close()


@dataclass(frozen=True, slots=True)
class Meters:
    """What is looked at besides the contenders."""

    load: LoadMeter
    clock: Clock
    gpu: ReadGpu


def measure(
    booths: Sequence[Booth], workload: Workload, rounds: int, meters: Meters, tell: Tell
) -> Iterator[list[Series]]:
    """Let each contender transcribe the workload `rounds` times, interleaved, so that a machine that slows down does so
    for all; each round begins with another one. Yields what there is after each round: so many runs of everybody who
    has not failed. What a contender does wrong is told by its series."""
    pairs = [(booth, Series(booth.spec)) for booth in booths]
    for number in range(rounds):
        turn = number % len(pairs)
        for booth, series in pairs[turn:] + pairs[:turn]:
            if series.failed is None:
                _one_run(booth, series, workload, meters)
                _say(series, f"{workload.name}, round {number + 1} of {rounds}", tell)
        yield [series for _, series in pairs]


def wrong_with(workload: Workload, heard: Sequence[Heard]) -> str | None:
    """What is wrong with an answer, whose time then means nothing."""
    if len(heard) != len(workload.items):
        return f"{len(heard)} files came back of {len(workload.items)}"
    if not any(one.text.strip() for one in heard):
        return "it heard nothing in any file"
    for item, one in zip(workload.items, heard, strict=True):
        if item.text and not one.text.strip():
            return f"it heard nothing in {item.path.name}, where something is said"
        if one.text.strip() and not one.timed_words:
            return f"its words in {item.path.name} have no times"
        if abs(one.audio_s - item.audio_s) > _DURATION_SLACK_S:
            return f"it took {item.path.name} for {one.audio_s:.1f} s long, which has {item.audio_s:.1f} s"
    return None


def _one_run(booth: Booth, series: Series, workload: Workload, meters: Meters) -> None:
    clock = meters.clock
    try:
        with booth.turn() as participant:
            series.facts = participant.facts
            before_s, own_before_s = _settled_cpu_s(participant, clock), participant.usage().own_cpu_s
            with (
                _MemoryWatch(participant, clock) as memory,
                _OthersWatch(participant, meters.load, clock) as others,
                GpuWatch(meters.gpu, clock) as gpu,
            ):
                answer = participant.hear([item.path for item in workload.items], None)
            cpu_s = _settled_cpu_s(participant, clock) - before_s
            own_cpu_s = participant.usage().own_cpu_s - own_before_s
            if cpu_s <= 0:  # a process that is gone has used nothing
                raise ContenderFailed(f"{series.spec.name}: its process ended after its answer")
    except ContenderFailed as error:
        series.failed = str(error)
        return
    series.failed = wrong_with(workload, answer.heard)
    if series.failed is None:
        took = (answer.wall_s, cpu_s, memory.peak_bytes, others.share)
        series.runs.append(Run(*took, answer.heard, answer.done_s, answer.counted, own_cpu_s, gpu.use))


def _say(series: Series, when: str, tell: Tell) -> None:
    name = series.spec.name
    if series.failed is not None:
        tell(f"{when}: {name} FAILED: {series.failed}")
    else:
        run = series.runs[-1]
        tell(f"{when}: {name} {run.wall_s:.1f} s, {run.cpu_s:.1f} CPU seconds, {run.peak_bytes / 1e6:.0f} MB")


def _settled_cpu_s(participant: Participant, clock: Clock) -> float:
    """Its CPU seconds, once it does nothing any more: a reader process made ready for the next file belongs to the
    round, and while others are measured it must not compute. Raises `ContenderFailed`."""
    never = threading.Event()
    deadline = clock.monotonic() + _SETTLE_S
    at, used_s = clock.monotonic(), participant.usage().cpu_s
    while True:
        clock.wait(never, _LOOK_S)
        now, now_used_s = clock.monotonic(), participant.usage().cpu_s
        if 0 <= now_used_s - used_s <= _IDLE_SHARE * (now - at):
            return now_used_s
        if now > deadline:
            raise ContenderFailed(f"{participant.spec.name}: it goes on computing with nothing to do")
        at, used_s = now, now_used_s


class _OthersWatch:
    """What everybody else does to the machine meanwhile."""

    def __init__(self, participant: Participant, load: LoadMeter, clock: Clock) -> None:
        self.share = 0.0
        self._participant = participant
        self._load = load
        self._clock = clock
        self._before = self._read()

    def __enter__(self) -> "_OthersWatch":
        self._before = self._read()
        return self

    def __exit__(self, *exc: object) -> None:
        others_s, cpu_s = (now - before for now, before in zip(self._read(), self._before, strict=True))
        self.share = min(1.0, max(0.0, others_s / cpu_s)) if cpu_s > 0 else 0.0

    def _read(self) -> tuple[float, float]:
        """CPU seconds of others so far, and of all processors, idle or not."""
        load = self._load()
        return load.busy_cpu_s - self._participant.usage().cpu_s, load.cpus * self._clock.monotonic()


class _MemoryWatch:
    """Looks at a participant's memory now and then, from outside and with at most two percent of a core."""

    def __init__(self, participant: Participant, clock: Clock) -> None:
        self.peak_bytes = participant.usage().rss_bytes
        self._participant = participant
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> "_MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        pause_s = SAMPLE_S
        while not self._clock.wait(self._over, pause_s):
            begun = self._clock.monotonic()
            self._look()
            pause_s = max(SAMPLE_S, 50 * (self._clock.monotonic() - begun))

    def _look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._participant.usage().rss_bytes)
