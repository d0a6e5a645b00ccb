"""From what was measured to what is reported. Pure."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from transcriber_worker.tools.bench.figures import spread
from transcriber_worker.tools.bench.gpu.cells import Outcome, Repeat
from transcriber_worker.tools.bench.gpu.contenders import CRAMPED
from transcriber_worker.tools.bench.gpu.report import (
    BoundFacts,
    CellFacts,
    CorrectnessFacts,
    HearingFacts,
    StageFacts,
)
from transcriber_worker.tools.bench.report import Report, Row

MOST_APART = 0.005
"""Word error rates of two devices that are no further apart than this count as the same."""


def cell_facts(outcome: Outcome) -> CellFacts:
    """A cell as it is reported."""
    cell = outcome.cell
    return CellFacts(
        model=cell.setup.model,
        encoder=cell.setup.encoder,
        beam_size=cell.setup.beam_size,
        batch=cell.batch,
        streams=cell.streams,
        facts=dict(outcome.facts),
        failed=outcome.failed,
        out_of_memory=outcome.out_of_memory,
        peak_bytes=outcome.gpu.peak_bytes if outcome.gpu else None,
        busy=outcome.gpu.busy_within if outcome.gpu else None,
        **_figures(outcome.repeats),
    )


def _figures(repeats: Sequence[Repeat]) -> dict[str, Any]:
    """Fields of `CellFacts`; none of a cell that was not measured."""
    if not repeats:
        return {}
    return {
        "times_real_time": spread([one.audio_s / one.wall_s for one in repeats]),
        "ms_per_window": spread([1000 * one.wall_s / one.windows for one in repeats]),
        "tokens_per_s": spread([one.tokens / one.wall_s for one in repeats]),
        "tokens_per_window": median(one.tokens / one.windows for one in repeats),
        "tokens_per_audio_s": median(one.tokens / one.audio_s for one in repeats),
        "batch_s": median(one.batch_s for one in repeats),
        "phase_ms": {
            phase: median(1000 * one.phases_s[phase] / one.windows for one in repeats) for phase in repeats[0].phases_s
        },
    }


def bounds_of(report: Report) -> tuple[BoundFacts, ...]:
    """For each contender that has figures, how fast each part of its way would let it be."""
    audio_s = {workload.name: workload.audio_s for workload in report.workloads}
    return tuple(
        BoundFacts(
            workload=row.workload,
            beam_size=row.beam_size,
            contender=row.contender,
            stages=tuple(
                sorted(
                    _stages(row, audio_s[row.workload], report.machine.cores), key=lambda stage: stage.times_real_time
                )
            ),
        )
        for row in report.rows
        if row.failed is None
    )


def _stages(row: Row, audio_s: float, cores: int) -> list[StageFacts]:
    """The GPU by the share of the time it was busy; CPU work as if it had all cores, or as many as can do it."""
    found = []
    if row.gpu is not None and row.gpu.busy and row.times_real_time is not None:
        found.append(StageFacts(name="GPU", times_real_time=row.times_real_time / row.gpu.busy))
    if row.cpu_s is None or row.own_cpu_s is None:
        return found

    def on_cores(name: str, cpu_s: float, count: int) -> None:
        if cpu_s > 0:
            found.append(StageFacts(name=name, cpu_s=cpu_s, times_real_time=count * audio_s / cpu_s))

    readers = row.facts.get("readers")
    if readers is not None:
        on_cores("media children", row.cpu_s.median - row.own_cpu_s.median, min(cores, int(readers)))
    if row.facts.get("device") == "cuda":  # threads that wait for it spin: what they use is no work
        return found
    on_cores("all CPU work", row.cpu_s.median, cores)
    if readers is not None:
        # Python runs one thread at a time: what the libraries do beside it is counted too, so it is a bit better.
        on_cores("engine host, were it one thread", row.own_cpu_s.median, 1)
    return found


def correctness_of(report: Report) -> CorrectnessFacts:
    """The baseline is the CPU."""
    (cpu,) = [row for row in report.rows if row.contender == report.baseline]
    heard = tuple(_heard(row, cpu) for row in report.rows if row is not cpu)
    return CorrectnessFacts(most_apart=MOST_APART, report=report, heard=heard)


def _heard(row: Row, cpu: Row) -> HearingFacts:
    why = _difference(row, cpu)
    return HearingFacts(
        contender=row.contender,
        wer=_wer(row),
        cpu_wer=_wer(cpu),
        within=why is None,
        out_of_memory=_ran_out(row),
        why=why or "as the CPU",
    )


def _difference(row: Row, cpu: Row) -> str | None:
    """Why it can't be said that it hears what the CPU hears."""
    if row.failed is not None:
        return f"failed: {row.failed}"
    wer, cpu_wer = _wer(row), _wer(cpu)
    if wer is None or cpu_wer is None:
        return "no text is known, or the CPU has no figures"
    if abs(wer - cpu_wer) > MOST_APART:
        return f"{wer:.4f} where the CPU has {cpu_wer:.4f}"
    if row.contender == CRAMPED and not _ran_out(row):
        return "memory did not run out, so that nothing was shown"
    return None


def _ran_out(row: Row) -> int:
    return row.batches.out_of_memory if row.batches else 0


def _wer(row: Row) -> float | None:
    return row.words.wer if row.words is not None else None
