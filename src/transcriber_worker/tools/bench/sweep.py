"""`--sweep`: which settings of the batching engine suit this machine."""

from collections.abc import Sequence
from itertools import product

from transcriber_worker.tools.bench.contenders import Kind, Spec
from transcriber_worker.tools.bench.report import Report, Row

CPU_BATCHES = (2, 4, 8)
CUDA_BATCHES = (8, 16, 32)
CPU_WORKERS = (1, 2, 4)
CUDA_WORKERS = (1, 2, 3)
_AS_FAST = 0.97
"""Settings within 3 % of the fastest count as equal: the ones that take less memory are recommended."""
_MORE_ERRORS = 0.005
"""Adaptive windows are recommended only where they are known to cost no more words than this."""


def sweep_specs(*, cuda: bool, cores: int) -> list[Spec]:
    """Every combination that is worth a try here; the first, full windows in the smallest batches, is the baseline."""
    workers = CUDA_WORKERS if cuda else tuple(n for n in CPU_WORKERS if n <= cores)
    batches = CUDA_BATCHES if cuda else CPU_BATCHES
    return [_spec(*one) for one in product(("full", "adaptive"), workers, batches)]


def recommended(report: Report, specs: Sequence[Spec]) -> tuple[Spec, Row] | None:
    """The combination to use, of all that were measured on one workload with one beam size; None where none worked."""
    by_name = {spec.name: spec for spec in specs}
    measured = [(by_name[row.contender], row) for row in report.rows if row.times_real_time is not None]
    full = [(spec, row) for spec, row in measured if spec.padding == "full"]
    least_wer = min((row.words.wer for _, row in full if row.words), default=None)
    good = [(spec, row) for spec, row in measured if spec.padding == "full" or _as_good(row, least_wer)]
    if not good:
        return None
    fastest = max(_speed(row) for _, row in good)
    equal = [(spec, row) for spec, row in good if _speed(row) >= _AS_FAST * fastest]
    return min(equal, key=lambda one: (one[0].padding != "full", one[1].peak_bytes or 0))


def advice(report: Report, specs: Sequence[Spec]) -> str:
    """The recommendation as lines for the configuration file."""
    found = recommended(report, specs)
    if found is None:
        return "# no combination worked: nothing to recommend\n"
    spec, row = found
    errors = f", WER {row.words.wer:.4f}" if row.words else ", word errors unknown: compare the texts yourself"
    measured = f"{row.workload}, beam {row.beam_size}, rounds {report.rounds}: {_speed(row):.1f} times real time"
    workers = "cuda_streams" if row.facts.get("device") == "cuda" else "workers"
    return (
        f"# {measured}, {(row.peak_bytes or 0) / 1e6:.0f} MB{errors}\n"
        f"engine:\n  window_padding: {spec.padding}\n  {workers}: {spec.workers}\n"
        f"  max_batch_windows: {spec.max_batch_windows}\n"
    )


def _spec(padding: str, workers: int, max_batch_windows: int) -> Spec:
    return Spec(
        f"{padding}-{workers}x{max_batch_windows}",
        Kind.BATCHED,
        f"{padding} windows, {workers} workers, batches of {max_batch_windows}",
        padding="adaptive" if padding == "adaptive" else "full",
        workers=workers,
        max_batch_windows=max_batch_windows,
    )


def _as_good(row: Row, least_wer: float | None) -> bool:
    return row.words is not None and least_wer is not None and row.words.wer <= least_wer + _MORE_ERRORS


def _speed(row: Row) -> float:
    return row.times_real_time or 0.0
