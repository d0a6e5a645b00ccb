"""A whole benchmark: contenders started, workloads measured, the report made."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from transcriber_worker import __version__
from transcriber_worker.tools.bench.contenders import Spec
from transcriber_worker.tools.bench.figures import HELD_AGAINST, facts_of, rows_of
from transcriber_worker.tools.bench.measuring import Booth, Meters, Start, Tell, measure
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts, Report, Row
from transcriber_worker.tools.bench.workloads import Workload


@dataclass(frozen=True, slots=True)
class Programme:
    """What to measure. The first of `specs` is the baseline of all ratios."""

    specs: tuple[Spec, ...]
    workloads: tuple[Workload, ...]
    beams: tuple[int, ...]
    rounds: int
    one_at_a_time: bool = False
    """Hold only one model in memory: each contender is started anew for each of its rounds."""
    held_against: tuple[str, ...] = HELD_AGAINST
    """Besides the first of `specs`, all are held against those of these that take part."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and with what."""

    machine: MachineFacts
    model: ModelFacts
    versions: dict[str, str]


def run(programme: Programme, where: Circumstances, start: Start, meters: Meters, tell: Tell) -> Iterator[Report]:
    """Measure everything; yields what was found so far after each round, all of it at last. A contender that fails has
    a row that says so."""
    warm_up = min(programme.workloads[0].items, key=lambda item: item.audio_s).path
    rows: list[Row] = []
    for beam in programme.beams:
        with ExitStack() as stack:
            booths = []
            for spec in programme.specs:
                booths.append(Booth(spec.with_beam(beam), start, warm_up, stay=not programme.one_at_a_time))
                stack.callback(booths[-1].close)
            for workload in programme.workloads:
                tell(f"{workload.name}, beam {beam}: {len(workload.items)} files, {workload.audio_s:.0f} s of audio")
                latest: list[Row] = []
                for done, series in enumerate(measure(booths, workload, programme.rounds, meters, tell), 1):
                    latest = rows_of(series, workload, programme.held_against)
                    yield _report(programme, where, [*rows, *latest], done, meters)
                rows += latest


def _report(programme: Programme, where: Circumstances, rows: Sequence[Row], rounds: int, meters: Meters) -> Report:
    order = {workload.name: number for number, workload in enumerate(programme.workloads)}
    return Report(
        made_at=datetime.fromtimestamp(round(meters.clock.now()), UTC),
        worker=__version__,
        versions=where.versions,
        machine=where.machine,
        model=where.model,
        rounds=rounds,
        baseline=programme.specs[0].name,
        workloads=tuple(facts_of(workload) for workload in programme.workloads),
        rows=tuple(sorted(rows, key=lambda row: order[row.workload])),
    )
