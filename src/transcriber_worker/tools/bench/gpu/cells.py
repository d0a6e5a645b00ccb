"""The GPU alone: batches of windows that wait in memory, by batch size and by how many are decoded at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from transcriber_worker.domain.clock import Clock
from transcriber_worker.tools.bench.gpu_watch import GpuUse, GpuWatch, ReadGpu
from transcriber_worker.tools.bench.remote import ContenderFailed

Encoder = Literal["ctranslate2", "torch"]

Tell = Callable[[str], None]


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
    repeats: tuple[Repeat, ...] = ()
    gpu: GpuUse | None = None
    out_of_memory: str | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    repeats: int
    """Of each cell, at least one."""
    repeat_s: float
    """What one of them is to take; it decodes at least one batch on each stream, and a few at most."""


class Bench(Protocol):
    """A process with a model of a `Setup`."""

    @property
    def facts(self) -> Mapping[str, str]: ...

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure a cell; raises `ContenderFailed`."""
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
class Room:
    """What cells are measured with."""

    start: Callable[[Setup], Bench]
    """Loads a model; raises `ContenderFailed`."""
    read_gpu: ReadGpu
    clock: Clock
    tell: Tell


def measure_cells(grid: Grid, room: Room) -> Iterator[tuple[Outcome, Mapping[str, str]]]:
    """All cells, with what their process ran on. Where a batch does not fit, larger ones on as many streams are not
    tried; a process that dies is started anew."""
    for setup in grid.setups:
        bench: Bench | None = None
        facts: Mapping[str, str] = {}
        try:
            for streams in sorted(grid.streams):
                too_large: int | None = None
                for batch in sorted(grid.batches):
                    cell = Cell(setup, batch, streams)
                    if too_large is not None:
                        outcome = Outcome(cell, out_of_memory=f"not tried: {too_large} windows did not fit")
                    else:
                        bench, outcome = _measured(cell, bench, grid.effort, room)
                        facts = bench.facts if bench is not None else facts
                        too_large = batch if outcome.out_of_memory else None
                    _say(outcome, room.tell)
                    yield outcome, facts
        finally:
            if bench is not None:
                bench.close()


def _measured(cell: Cell, bench: Bench | None, effort: Effort, room: Room) -> tuple[Bench | None, Outcome]:
    """And the process to go on with; None where it has to be started anew."""
    try:
        bench = bench or room.start(cell.setup)
    except ContenderFailed as error:
        return None, Outcome(cell, failed=str(error))
    request = {
        "batch": cell.batch,
        "streams": cell.streams,
        "repeats": effort.repeats,
        "repeat_s": effort.repeat_s,
    }
    watch = GpuWatch(room.read_gpu, room.clock)
    try:
        with watch:
            told = bench.ask(request)
    except ContenderFailed as error:
        bench.close()
        return None, Outcome(cell, failed=str(error))
    if "out_of_memory" in told:
        return bench, Outcome(cell, gpu=watch.use, out_of_memory=str(told["out_of_memory"]))
    return bench, Outcome(cell, tuple(Repeat(**one) for one in told["repeats"]), watch.use)


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
    """Every combination, one model after the other."""
    return tuple(Setup(model, encoder, beam) for model in models for encoder in encoders for beam in beams)
