"""The table: Markdown that also reads on a terminal."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from transcriber_worker.tools.bench.report import Report, Row, Spread, WorkloadFacts

_PHASES = ("features", "encode", "language", "decode", "align")
_MUCH = 0.1


def table(report: Report) -> str:
    """The whole report for people."""
    return "\n".join([_head(report), sections(report)])


def sections(report: Report) -> str:
    """A section for each workload and beam."""
    return "\n".join(_section(report, list(rows)) for _, rows in _sections(report))


def _sections(report: Report) -> Iterable[tuple[tuple[str, int], Iterable[Row]]]:
    return groupby(report.rows, key=lambda row: (row.workload, row.beam_size))


def _head(report: Report) -> str:
    machine = report.machine
    where = f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB"
    gpus = "".join(f", {gpu}" for gpu in machine.gpus)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    rounds = f"{report.rounds} interleaved rounds" if report.rounds > 1 else "1 round: no spread, so no claim"
    return (
        f"# Benchmark, {report.made_at:%Y-%m-%d %H:%M} UTC\n\n{where}{gpus}. Model {report.model.name}, {rounds}; "
        f"medians, in brackets least and most.\ntranscriber-worker {report.worker}; {versions}.\n"
    )


def _section(report: Report, rows: Sequence[Row]) -> str:
    workload = next(one for one in report.workloads if one.name == rows[0].workload)
    parts = [f"## {workload.name}, beam {rows[0].beam_size}: {_described(workload)}\n", _speeds(rows)]
    inside = [row for row in rows if row.batches is not None]
    if inside:
        parts.append(_insides(inside))
    on_gpu = [row for row in rows if row.gpu is not None]
    if on_gpu:
        parts.append(aligned([["GPU", "busy %", "busy % within", "peak MB"], *map(_on_gpu, on_gpu)]))
    busiest = max((row.others_share.median for row in rows if row.others_share), default=0.0)
    if busiest > _MUCH:
        parts.append(
            f"**Something else took up to {100 * busiest:.0f} % of this machine's processors meanwhile: trust the CPU "
            "seconds, not the wall clock, and measure again on a quiet machine.**\n"
        )
    parts += [f"**{row.contender} FAILED**: {row.failed}\n" for row in rows if row.failed is not None]
    return "\n".join(parts)


def _described(workload: WorkloadFacts) -> str:
    lengths = sorted(file.audio_s for file in workload.files)
    return f"{len(lengths)} files of {lengths[0]:.0f} to {lengths[-1]:.0f} s, {workload.audio_s:.0f} s in all"


def _speeds(rows: Sequence[Row]) -> str:
    against = list(dict.fromkeys(name for row in rows for name in row.ratios))
    head = ["", "wall s", *(f"x {name}" for name in against), "CPU s", *(f"CPU x {name}" for name in against),
            "x real time", "tokens/audio s", "median file s", "WER", "missing", "peak MB"]  # fmt: skip
    return aligned([head, *(_speed(row, against) for row in rows)])


def _speed(row: Row, against: Sequence[str]) -> list[str]:
    if row.wall_s is None or row.cpu_s is None or row.file_done_s is None:
        return [row.contender, "FAILED"]
    ratios = [row.ratios.get(name) for name in against]
    return [
        row.contender,
        ranged(row.wall_s, 1),
        *(ranged(one.wall, 2) if one else "" for one in ratios),
        ranged(row.cpu_s, 1),
        *(ranged(one.cpu, 2) if one else "" for one in ratios),
        f"{row.times_real_time:.1f}",
        f"{row.tokens_per_audio_s or 0:.2f}",
        f"{row.file_done_s.median:.1f}",
        f"{row.words.wer:.4f}" if row.words else "",
        str(len(row.words.missing_run)) if row.words else "",
        f"{(row.peak_bytes or 0) / 1e6:.0f}",
    ]


def _insides(rows: Sequence[Row]) -> str:
    head = ["inside", "batches", "rows each", "fill", "waited s", *(f"{phase} %" for phase in _PHASES), "idle %",
            "decode+VAD CPU s", "holes", "again"]  # fmt: skip
    return aligned([head, *(_inside(row) for row in rows)])


def _inside(row: Row) -> list[str]:
    batches = row.batches
    if batches is None:
        return [row.contender]
    shares = [batches.busy.get(phase, 0.0) for phase in _PHASES]
    media_s = row.media_cpu.decode_s + row.media_cpu.detect_s if row.media_cpu else 0.0
    return [
        row.contender,
        str(batches.batches),
        f"{batches.rows_per_batch:.1f}",
        f"{batches.fill:.2f}",
        f"{batches.oldest_wait_s:.2f}",
        *(f"{100 * share:.0f}" for share in shares),
        f"{100 * (1 - sum(shares)):.0f}",
        f"{media_s:.2f}",
        f"{batches.holes_rescued}/{batches.holes_found}",
        ", ".join(f"{how} {times}" for how, times in sorted(batches.again.items())),
    ]


def _on_gpu(row: Row) -> list[str]:
    gpu = row.gpu
    if gpu is None:
        return [row.contender]
    shares = ["" if share is None else f"{100 * share:.0f}" for share in (gpu.busy, gpu.busy_within)]
    return [row.contender, *shares, f"{gpu.peak_bytes / 1e6:.0f}"]


def ranged(spread: Spread, digits: int) -> str:
    """The median, and the least and the most where they differ."""
    if spread.least == spread.most:
        return f"{spread.median:.{digits}f}"
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}-{spread.most:.{digits}f})"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under each other."""
    count = len(lines[0])
    padded = [[*line, *[""] * (count - len(line))] for line in lines]
    widths = [max(3, *(len(line[column]) for line in padded)) for column in range(count)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    shown = [padded[0], rule, *padded[1:]]
    return "".join(
        f"| {line[0]:<{widths[0]}} | "
        + " | ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        + " |\n"
        for line in shown
    )
