"""The picture of `bench-gpu`: how fast the GPU alone is by batch size, and what becomes of it from files to words.
Plain SVG, for light and dark."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import log2

from transcriber_worker.tools.bench.gpu.report import CellFacts, GpuReport
from transcriber_worker.tools.bench.report import Report, Row
from transcriber_worker.tools.bench.svg import STEP, WIDTH, bar, document, text

_LEFT, _RIGHT = 70, 250
_PLOT = 200
_NAMES = 160
_COLOURS = {"ctranslate2": "#d4853a", "torch": "#4493f8"}
_DASHES = {1: "2 4", 2: "7 4"}
"""By streams; three are drawn without gaps."""
_STYLE = """
  .axis { stroke: #d1d9e0; } .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) { .axis { stroke: #3d444d; } }
"""


def picture(report: GpuReport) -> str:
    """An SVG document."""
    shapes: list[str] = []
    y = 78
    for (model, beam), cells in groupby(report.cells, key=lambda cell: (cell.model, cell.beam_size)):
        shapes.append(text(16, y, f"the GPU alone: {model}, beam {beam}; times real time by windows a batch", "group"))
        shapes += _lines(list(cells), y + 16)
        y += 16 + _PLOT + 50
    for files in report.files:
        for beam, rows in groupby(files.report.rows, key=lambda row: row.beam_size):
            group = list(rows)
            title = f"from files to words: {files.report.model.name}, beam {beam}; times real time"
            shapes.append(text(16, y, title, "group"))
            shapes += _bars(files.report, group, y + 12)
            y += 12 + STEP * len(group) + 34
    title = "GPU benchmark" + (": a DRY RUN on the CPU, which says nothing of any GPU" if report.dry_run else "")
    where = ", ".join(report.machine.gpus) or f"{report.machine.cpu}, {report.machine.cores} cores"
    return document(title, f"{where}; random weights", shapes, y, _STYLE)


def _lines(cells: Sequence[CellFacts], top: int) -> Iterator[str]:
    shown = [(cell, cell.times_real_time.median) for cell in cells if cell.times_real_time]
    most = max((speed for _, speed in shown), default=1.0)
    batches = sorted({cell.batch for cell in cells})
    first, last = log2(batches[0]), log2(batches[-1])

    def x(batch: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((log2(batch) - first) / (last - first) if last > first else 0.5)

    def y(speed: float) -> float:
        return top + _PLOT * (1 - speed / most)

    for part in (0.0, 0.5, 1.0):
        level = y(part * most)
        yield f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>'
        yield text(_LEFT - 8, level + 4, f"{part * most:.0f}", "note", "end")
    for batch in batches:
        yield text(x(batch), top + _PLOT + 18, str(batch), "note", "middle")
    kinds = sorted({(cell.encoder, cell.streams) for cell, _ in shown})
    for number, (encoder, streams) in enumerate(kinds):
        points = [(c.batch, speed) for c, speed in shown if (c.encoder, c.streams) == (encoder, streams)]
        style = f'stroke="{_COLOURS.get(encoder, "#59636e")}" stroke-dasharray="{_DASHES.get(streams, "none")}"'
        path = " ".join(f"{x(batch):.1f},{y(speed):.1f}" for batch, speed in points)
        yield f'<polyline class="line" {style} points="{path}"/>'
        yield from (
            f'<circle cx="{x(batch):.1f}" cy="{y(speed):.1f}" r="3" fill="{_COLOURS.get(encoder, "#59636e")}"/>'
            for batch, speed in points
        )
        key = top + 8 + 20 * number
        left = WIDTH - _RIGHT + 20
        yield f'<line class="line" {style} x1="{left}" x2="{left + 30}" y1="{key}" y2="{key}"/>'
        plural = "streams" if streams > 1 else "stream"
        yield text(left + 38, key + 4, f"{encoder}, {streams} {plural}", "note")


def _bars(report: Report, rows: Sequence[Row], top: int) -> Iterator[str]:
    most = max((row.times_real_time or 0.0 for row in rows), default=1.0) or 1.0
    for number, row in enumerate(rows):
        y = top + number * STEP
        yield text(_NAMES - 8, y + 14, row.contender, anchor="end")
        if row.times_real_time is None:
            yield text(_NAMES + 6, y + 14, "failed", "note")
            continue
        width = (WIDTH - _NAMES - _RIGHT) * row.times_real_time / most
        yield bar(_NAMES, y, width, ours=row.contender.startswith("batched"))
        yield text(_NAMES + width + 8, y + 14, f"{row.times_real_time:.1f}", "group")
        ratio = row.ratios.get(report.baseline)
        beside = f"{ratio.wall.median:.2f} x {report.baseline}" if ratio else ""
        yield text(_NAMES + width + 70, y + 14, beside, "note")
