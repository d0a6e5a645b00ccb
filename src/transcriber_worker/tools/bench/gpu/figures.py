"""From what was measured to what is reported. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median

from transcriber_worker.tools.bench.figures import spread
from transcriber_worker.tools.bench.gpu.cells import Outcome
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


def cell_facts(outcome: Outcome, facts: Mapping[str, str]) -> CellFacts:
    """A cell as it is reported. `facts`: what its process ran on."""
    cell, repeats = outcome.cell, outcome.repeats
    named = CellFacts(
        model=cell.setup.model,
        encoder=cell.setup.encoder,
        beam_size=cell.setup.beam_size,
        batch=cell.batch,
        streams=cell.streams,
        facts=dict(facts),
        failed=outcome.failed,
        out_of_memory=outcome.out_of_memory,
        peak_bytes=outcome.gpu.peak_bytes if outcome.gpu else None,
        busy=outcome.gpu.busy_within if outcome.gpu else None,
    )
    if not repeats:
        return named
    return named.model_copy(
        update={
            "times_real_time": spread([one.audio_s / one.wall_s for one in repeats]),
            "ms_per_window": spread([1000 * one.wall_s / one.windows for one in repeats]),
            "tokens_per_s": spread([one.tokens / one.wall_s for one in repeats]),
            "tokens_per_window": median(one.tokens / one.windows for one in repeats),
            "tokens_per_audio_s": median(one.tokens / one.audio_s for one in repeats),
            "batch_s": median(one.batch_s for one in repeats),
            "phase_ms": {
                phase: median(1000 * one.phases_s[phase] / one.windows for one in repeats)
                for phase in repeats[0].phases_s
            },
        }
    )


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
    """The GPU by the share of the time it was busy; CPU work as if it had all cores, or one core where it can't have
    more."""
    found = []
    if row.gpu is not None and row.gpu.busy_within and row.times_real_time is not None:
        found.append(StageFacts(name="GPU", times_real_time=row.times_real_time / row.gpu.busy_within))
    if row.cpu_s is None or row.own_cpu_s is None:
        return found

    def on_cores(name: str, cpu_s: float, count: int) -> None:
        if cpu_s > 0:
            found.append(StageFacts(name=name, cpu_s=cpu_s, times_real_time=count * audio_s / cpu_s))

    on_cores("all CPU work", row.cpu_s.median, cores)
    if row.media_cpu is not None:
        on_cores("media children", row.cpu_s.median - row.own_cpu_s.median, cores)
        # Python runs one thread at a time: what the libraries do beside it is counted too, so it is a bit better.
        on_cores("engine host, were it one thread", row.own_cpu_s.median, 1)
    return found


def correctness_of(report: Report, reference: str, cramped: str | None) -> CorrectnessFacts:
    """`reference`: the contender on the CPU; `cramped`: the one whose memory had to run out."""
    (cpu,) = [row for row in report.rows if row.contender == reference]
    heard = tuple(
        _heard(row, cpu, has_to_run_out=row.contender == cramped) for row in report.rows if row.contender != reference
    )
    return CorrectnessFacts(most_apart=MOST_APART, report=report, heard=heard)


def _heard(row: Row, cpu: Row, *, has_to_run_out: bool) -> HearingFacts:
    wer, cpu_wer = _wer(row), _wer(cpu)
    ran_out = row.batches.out_of_memory if row.batches else 0
    if row.failed is not None:
        why = f"failed: {row.failed}"
    elif wer is None or cpu_wer is None:
        why = "no text is known, or the CPU has no figures"
    elif abs(wer - cpu_wer) > MOST_APART:
        why = f"{wer:.4f} where the CPU has {cpu_wer:.4f}"
    elif has_to_run_out and not ran_out:
        why = "memory did not run out, so that nothing was shown"
    else:
        return HearingFacts(
            contender=row.contender, wer=wer, cpu_wer=cpu_wer, within=True, out_of_memory=ran_out, why="as the CPU"
        )
    return HearingFacts(contender=row.contender, wer=wer, cpu_wer=cpu_wer, within=False, out_of_memory=ran_out, why=why)


def _wer(row: Row) -> float | None:
    return row.words.wer if row.words is not None else None


def models_in(cells: Sequence[CellFacts]) -> list[str]:
    """In their order."""
    return list(dict.fromkeys(cell.model for cell in cells))
