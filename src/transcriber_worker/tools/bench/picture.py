"""The picture: how many times as fast as the baseline each contender is, as bars. Plain SVG, for light and dark."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from transcriber_worker.tools.bench.report import Report, Row
from transcriber_worker.tools.bench.svg import BAR, STEP, WIDTH, bar, document, text

_NAMES = 110
_VALUES = 200
_STYLE = """
  .one { stroke: #59636e; stroke-dasharray: 3 3; } .range { stroke: #1f2328; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) { .one { stroke: #9198a1; } .range { stroke: #e6edf3; } }
"""
_OURS = ("sequential", "batched", "adaptive")


def picture(report: Report) -> str:
    """An SVG document. Bars are medians of the wall clock's ratios, whiskers least and most of the rounds; the CPU
    seconds' ratio and the word error rate stand beside them."""
    most = max((row.ratios[report.baseline].wall.most for row in report.rows if _shown(row, report)), default=1.0)
    shapes: list[str] = []
    y = 82
    for (workload, beam), rows in groupby(report.rows, key=lambda row: (row.workload, row.beam_size)):
        shapes.append(text(16, y, f"{workload}, beam {beam}", "group"))
        group = list(rows)
        shapes += _bars(group, report, y + 12, (WIDTH - _NAMES - _VALUES) / max(most, 1.0))
        y += 12 + STEP * len(group) + 34
    title = f"Times as fast as {report.baseline} (wall clock)"
    return document(title, _where(report), shapes, y, _STYLE)


def _where(report: Report) -> str:
    device = ", ".join(report.machine.gpus) or f"{report.machine.cpu}, {report.machine.cores} cores"
    return f"{device}; model {report.model.name}; medians of {report.rounds} rounds; beside: CPU ratio, word error rate"


def _bars(rows: Sequence[Row], report: Report, top: int, per_one: float) -> Iterator[str]:
    for number, row in enumerate(rows):
        y = top + number * STEP
        yield text(_NAMES - 8, y + 14, row.contender, anchor="end")
        if not _shown(row, report):
            yield text(_NAMES + 6, y + 14, "failed" if row.failed else "the baseline failed", "note")
            continue
        ratio = row.ratios[report.baseline]
        least, median, most = (_NAMES + per_one * v for v in (ratio.wall.least, ratio.wall.median, ratio.wall.most))
        yield bar(_NAMES, y, median - _NAMES, ours=row.contender.startswith(_OURS))
        middle = y + BAR / 2
        yield f'<line class="range" x1="{least:.1f}" x2="{most:.1f}" y1="{middle}" y2="{middle}"/>'
        yield text(max(most, median) + 8, y + 14, f"{ratio.wall.median:.2f}", "group")
        error = f", WER {100 * row.words.wer:.1f} %" if row.words else ""
        yield text(max(most, median) + 44, y + 14, f"CPU {ratio.cpu.median:.2f}{error}", "note")
    one = _NAMES + per_one
    yield f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{top - 4}" y2="{top + STEP * len(rows)}"/>'


def _shown(row: Row, report: Report) -> bool:
    return report.baseline in row.ratios
