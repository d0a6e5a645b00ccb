"""The GPU alone: batches of windows that wait in memory, by batch size and by how many are decoded at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from transcriber_worker.domain.clock import Clock
from transcriber_worker.tools.bench.gpu_watch import GpuUse, GpuWatch, ReadGpu
from transcriber_worker.tools.bench.measuring import Tell
from transcriber_worker.tools.bench.remote import ContenderFailed

Encoder = Literal["ctranslate2", "torch"]

_LEAST_BATCHES_TOGETHER = 4
"""On each of several streams: they begin at the same time, and only after the first batch does one decode while another
encodes."""
_MOST_BATCHES = 50
"""On a stream, in one repeat."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What one process loads."""

    model: str
    encoder: Encoder
    beam_size: int

    def __str__(self) -> str:
        return f"{self.model}, {self.encoder}, beam {self.beam_size}"


@dataclass(frozen=True, slots=True)
class Cell:
    """So many windows a batch, so many batches at once."""

    setup: Setup
    batch: int
    streams: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """A cell measured once: all streams decode batch after batch."""

    wall_s: float
    windows: int
    audio_s: float
    tokens: int
    """Of text; those that end one are not counted."""
    batch_s: float
    """The median batch, from its samples to its words."""
    phases_s: Mapping[str, float]
    """Seconds of all streams together, by phase."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a cell: repeats, or why there are none."""

    cell: Cell
    facts: Mapping[str, str] = field(default_factory=dict)
    """What its process ran on; empty where there was none."""
    repeats: tuple[Repeat, ...] = ()
    gpu: GpuUse | None = None
    """While it was measured, without the warming up."""
    out_of_memory: str | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    repeats: int
    """Of each cell, at least one."""
    repeat_s: float
    """What one of them is to take; it decodes at least one batch, on several streams a few on each."""


class CellProcess(Protocol):
    """A process with a model of a `Setup`."""

    @property
    def facts(self) -> Mapping[str, str]: ...

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Warm up or measure a cell; raises `ContenderFailed`."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Which cells."""

    setups: tuple[Setup, ...]
    batches: tuple[int, ...]
    streams: tuple[int, ...]
    effort: Effort


@dataclass(frozen=True, slots=True)
class CellMeters:
    """What cells are measured with."""

    start: Callable[[Setup], CellProcess]
    """Loads a model; raises `ContenderFailed`."""
    read_gpu: ReadGpu
    clock: Clock
    tell: Tell


class _Seat:
    """Where a setup's process sits: started for the first cell, and anew after it has died."""

    def __init__(self, setup: Setup, start: Callable[[Setup], CellProcess]) -> None:
        self.setup = setup
        self._start = start
        self._inside: CellProcess | None = None
        self._refused: str | None = None

    def process(self) -> CellProcess:
        """Raises `ContenderFailed`: where it could not start once, it is not tried again."""
        if self._refused is not None:
            raise ContenderFailed(f"not tried: {self._refused}")
        if self._inside is None:
            try:
                self._inside = self._start(self.setup)
            except ContenderFailed as error:
                self._refused = str(error)
                raise
        return self._inside

    def close(self) -> None:
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.close()


def measure_cells(grid: Grid, meters: CellMeters) -> Iterator[Outcome]:
    """All cells. Where a batch does not fit, larger ones on as many streams are not tried; a process that dies is
    started anew."""
    for setup in grid.setups:
        with closing(_Seat(setup, meters.start)) as seat:
            for outcome in _one_setup(seat, grid, meters):
                _say(outcome, meters.tell)
                yield outcome


def _one_setup(seat: _Seat, grid: Grid, meters: CellMeters) -> Iterator[Outcome]:
    for streams in sorted(grid.streams):
        full: Outcome | None = None
        for batch in sorted(grid.batches):
            cell = Cell(seat.setup, batch, streams)
            if full is not None:
                why = f"not tried: {full.cell.batch} windows did not fit"
                yield Outcome(cell, full.facts, out_of_memory=why)
                continue
            outcome = _measured(cell, seat, grid.effort, meters)
            full = outcome if outcome.out_of_memory is not None else None
            yield outcome


def _measured(cell: Cell, seat: _Seat, effort: Effort, meters: CellMeters) -> Outcome:
    try:
        process = seat.process()
    except ContenderFailed as error:
        return Outcome(cell, failed=str(error))
    facts = process.facts
    shape = {"batch": cell.batch, "streams": cell.streams}
    watch = GpuWatch(meters.read_gpu, meters.clock)
    try:
        warm = process.ask({**shape, "warm_up": True})
        if "out_of_memory" in warm:
            return Outcome(cell, facts, out_of_memory=str(warm["out_of_memory"]))
        count = _batches(float(warm["wall_s"]), cell.streams, effort.repeat_s)
        with watch:
            told = process.ask({**shape, "repeats": effort.repeats, "count": count})
    except ContenderFailed as error:
        seat.close()
        return Outcome(cell, facts, failed=str(error))
    if "out_of_memory" in told:
        return Outcome(cell, facts, gpu=watch.use, out_of_memory=str(told["out_of_memory"]))
    return Outcome(cell, facts, tuple(Repeat(**one) for one in told["repeats"]), watch.use)


def _batches(one_s: float, streams: int, repeat_s: float) -> int:
    """How many to decode on each stream where one takes `one_s`."""
    least = _LEAST_BATCHES_TOGETHER if streams > 1 else 1
    return min(_MOST_BATCHES, max(least, int(repeat_s / one_s)))


def _say(outcome: Outcome, tell: Tell) -> None:
    cell = outcome.cell
    name = f"{cell.setup}: {cell.streams} x {cell.batch} windows"
    if outcome.failed is not None:
        tell(f"{name}: FAILED: {outcome.failed}")
    elif outcome.out_of_memory is not None:
        tell(f"{name}: out of memory: {outcome.out_of_memory}")
    else:
        fastest = max(repeat.audio_s / repeat.wall_s for repeat in outcome.repeats)
        tell(f"{name}: {fastest:.1f} times real time")


def grid_of(models: Sequence[str], encoders: Sequence[Encoder], beams: Sequence[int]) -> tuple[Setup, ...]:
    """Every combination: encoders, which are compared with each other, one after the other."""
    return tuple(Setup(model, encoder, beam) for model in models for beam in beams for encoder in encoders)
