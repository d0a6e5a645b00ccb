"""Reports of `bench-gpu`."""

from datetime import UTC, datetime
from typing import Any

from tests.unit.tools.bench.gpu.cell_builders import a_repeat, an_outcome
from tests.unit.tools.bench.scripted import TEXT, WHERE, a_run, a_series, a_workload
from transcriber_worker.tools.bench.figures import facts_of, rows_of
from transcriber_worker.tools.bench.gpu.contenders import REFERENCE
from transcriber_worker.tools.bench.gpu.figures import bounds_of, cell_facts, correctness_of
from transcriber_worker.tools.bench.gpu.report import CellFacts, FilesFacts, GpuReport
from transcriber_worker.tools.bench.gpu_watch import GpuUse
from transcriber_worker.tools.bench.measuring import Run, Series
from transcriber_worker.tools.bench.report import Report


def cells() -> tuple[CellFacts, ...]:
    outcomes = [
        an_outcome(1, 1, a_repeat(2.0), a_repeat(1.0), a_repeat(4.0)),
        an_outcome(8, 1, a_repeat(0.5), gpu=GpuUse(3_000_000_000, 0.8, 0.9)),
        an_outcome(16, 1, out_of_memory="it is full"),
        an_outcome(32, 1, failed="its process ended"),
        an_outcome(8, 2, a_repeat(0.4, windows=7), encoder="torch"),
    ]
    return tuple(cell_facts(outcome) for outcome in outcomes)


def heard(*runs: tuple[str, Run]) -> Report:
    """A report on one file, of which something is known; each contender ran once."""
    return report_of(*(a_series(name, run) for name, run in runs))


def report_of(*series: Series) -> Report:
    """On one file of 100 s and four cores; the first one is the baseline."""
    workload = a_workload(TEXT, audio_s=100.0)
    rows = rows_of(series, workload)
    machine = WHERE.machine.model_copy(update={"cores": 4})
    return Report(
        made_at=datetime(2026, 1, 1, tzinfo=UTC), worker="1", versions={}, machine=machine, model=WHERE.model, rounds=1,
        baseline=series[0].spec.name, workloads=(facts_of(workload),), rows=tuple(rows),
    )  # fmt: skip


def a_report(**changes: Any) -> GpuReport:
    files = heard(("direct-3", a_run(10.0)), ("batched-torch", a_run(2.0)))
    known = heard((REFERENCE, a_run()), ("batched-torch", a_run()))
    found = GpuReport(
        made_at=files.made_at, worker="1", versions={"ctranslate2": "4.8"}, machine=WHERE.machine, dry_run=False,
        models=(), repeats=3, cells=cells(), files=(FilesFacts(report=files, bounds=bounds_of(files)),),
        correctness=correctness_of(known),
    )  # fmt: skip
    return found.model_copy(update=changes)
