"""The report of `bench-gpu` for people."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from transcriber_worker.tools.bench.gpu.report import BoundFacts, CellFacts, CorrectnessFacts, FilesFacts, GpuReport
from transcriber_worker.tools.bench.report import Spread
from transcriber_worker.tools.bench.table import aligned, ranged, sections

_PHASES = ("features", "encode", "decode", "align")
_SHORT_S = 20.0
"""A large part of a shorter round is its beginning, when little has reached the GPU yet, and its end."""


def table(report: GpuReport) -> str:
    """All of it."""
    return "\n".join(_parts(report))


def _parts(report: GpuReport) -> Iterator[str]:
    yield _head(report)
    if report.cells:
        yield "## The GPU alone: windows that wait in memory\n"
        yield "Seconds of audio are those of the windows here, without the pauses that were cut out of the files.\n"
        for (model, beam), cells in groupby(report.cells, key=lambda cell: (cell.model, cell.beam_size)):
            yield f"### {model}, beam {beam}\n"
            yield from _cells(list(cells))
    for files in report.files:
        rounds = files.report.rounds
        yield f"# From files to words: {files.report.model.name}, {rounds} {'round' if rounds == 1 else 'rounds'}\n"
        yield from _files(files)
    if report.correctness is not None:
        yield from _correctness(report.correctness)


def _head(report: GpuReport) -> str:
    machine = report.machine
    gpus = "".join(f", {gpu}" for gpu in machine.gpus)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    dry = (
        "\n**DRY RUN: a tiny model on the CPU, only to see that it runs. Nothing here says anything of any GPU.**\n"
        if report.dry_run
        else ""
    )
    return (
        f"# GPU benchmark, {report.made_at:%Y-%m-%d %H:%M} UTC\n{dry}\n"
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB{gpus}. Random weights unless "
        "said otherwise: they tell speed, not accuracy.\n"
        f"transcriber-worker {report.worker}; {versions}.\n"
    )


def _cells(cells: Sequence[CellFacts]) -> Iterator[str]:
    head = ["encoder", "streams", "batch", "x real time", "ms/window", "tokens/s", "tokens/window", "batch s",
            *(f"{phase} ms" for phase in _PHASES), "busy %", "peak MB"]  # fmt: skip
    yield aligned([head, *map(_cell, cells)])
    yield from (
        f"**{cell.encoder}, {cell.streams} x {cell.batch} FAILED**: {cell.failed}\n"
        for cell in cells
        if cell.failed is not None
    )


def _cell(cell: CellFacts) -> list[str]:
    named = [cell.encoder, str(cell.streams), str(cell.batch)]
    peak = "" if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}"
    busy = "" if cell.busy is None else f"{100 * cell.busy:.0f}"
    if cell.failed is not None:
        return [*named, "FAILED"]
    if cell.out_of_memory is not None:
        return [*named, "out of memory"]
    return [
        *named,
        _spread(cell.times_real_time, 1),
        _spread(cell.ms_per_window, 1),
        _spread(cell.tokens_per_s, 0),
        f"{cell.tokens_per_window or 0:.1f}",
        f"{cell.batch_s or 0:.3f}",
        *(f"{cell.phase_ms.get(phase, 0.0):.1f}" for phase in _PHASES),
        busy,
        peak,
    ]


def _spread(spread: Spread | None, digits: int) -> str:
    return "" if spread is None else ranged(spread, digits)


def _files(files: FilesFacts) -> Iterator[str]:
    yield sections(files.report)
    shortest_s = min((row.wall_s.least for row in files.report.rows if row.wall_s is not None), default=_SHORT_S)
    if shortest_s < _SHORT_S:
        yield f"**The fastest round took only {shortest_s:.1f} s: measure again with more files (--files).**\n"
    yield "Which part would bind first, by how many times real time it would allow:\n"
    head = ["", "beam", "first", "then", "", ""]
    rows = [_bound(bound) for bound in files.bounds if bound.stages]
    yield aligned([head[: max(map(len, rows), default=len(head))], *rows])


def _bound(bound: BoundFacts) -> list[str]:
    stages = [f"{stage.name} {stage.times_real_time:.0f}" for stage in bound.stages]
    return [bound.contender, str(bound.beam_size), *stages]


def _correctness(found: CorrectnessFacts) -> Iterator[str]:
    yield f"# Correctness: {found.report.model.name}, real weights, known texts\n"
    head = ["", "WER", "on the CPU", "out of memory", ""]
    rows = [
        [
            one.contender,
            _rate(one.wer),
            _rate(one.cpu_wer),
            str(one.out_of_memory),
            one.why if one.within else f"NOT AS THE CPU: {one.why}",
        ]
        for one in found.heard
    ]
    yield aligned([head, *rows])
    if not any(row.facts.get("device") == "cuda" for row in found.report.rows):
        yield "No GPU: nothing was shown of one, and memory was not made to run out.\n"
    yield from (f"**{row.contender} FAILED**: {row.failed}\n" for row in found.report.rows if row.failed is not None)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.4f}"
