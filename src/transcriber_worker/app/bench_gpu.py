"""`bench-gpu`, put together: random models, processes that decode batches, contenders that transcribe files."""

import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from transcriber_worker import __version__
from transcriber_worker.app.bench import machine_facts, package_versions, start_contender
from transcriber_worker.app.worker import make_media
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability.gpu_reading import gpu_reader
from transcriber_worker.observability.process_tree import gpu_driver, machine_load
from transcriber_worker.settings import Settings
from transcriber_worker.tools.bench.contenders import Spec
from transcriber_worker.tools.bench.gpu.cells import Effort, Encoder, Grid, Room, Setup, grid_of, measure_cells
from transcriber_worker.tools.bench.gpu.contenders import (
    CRAMPED,
    HELD_AGAINST,
    REFERENCE,
    correctness_specs,
    files_specs,
)
from transcriber_worker.tools.bench.gpu.figures import bounds_of, cell_facts, correctness_of
from transcriber_worker.tools.bench.gpu.report import (
    CellFacts,
    CorrectnessFacts,
    FilesFacts,
    GpuReport,
    RandomModelFacts,
)
from transcriber_worker.tools.bench.measuring import Meters, Tell
from transcriber_worker.tools.bench.programme import Circumstances, Programme, run
from transcriber_worker.tools.bench.recordings import recordings_at
from transcriber_worker.tools.bench.remote import RemoteChild
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts, Report
from transcriber_worker.tools.bench.workloads import BACKLOG, LONG_S, Load, Workload, Workshop
from transcriber_worker.tools.limits import Machine, on_gpu

Keep = Callable[[GpuReport], None]

_VOCABULARY_OF = "base"
"""Whose words the random models write; with its own weights it shows that a device hears what the CPU hears."""


@dataclass(frozen=True, slots=True)
class GpuBenchOrder:
    """What a user asked for."""

    audio: Path
    """A folder of recordings."""
    out: Path
    """Where models, made audio and logs go."""
    models: tuple[str, ...]
    """Names of shapes."""
    parts: frozenset[str]
    """Of `cells`, `files` and `correctness`."""
    beams: tuple[int, ...]
    batches: tuple[int, ...]
    streams: tuple[int, ...]
    effort: Effort
    rounds: int
    files: int = BACKLOG
    long_s: float = LONG_S
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """What all parts of a run share."""

    order: GpuBenchOrder
    settings: Settings
    config_file: Path | None
    tell: Tell
    machine: MachineFacts
    torch: bool
    """Whether it is installed."""
    versions: dict[str, str]
    clock: SystemClock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is given to whom."""

    backlog: Workload
    known: Workload


@dataclass(frozen=True, slots=True)
class _Model:
    """What is decoded with."""

    facts: ModelFacts
    fields: dict[str, str | None]
    """Of the settings."""


def run_bench_gpu(
    order: GpuBenchOrder, settings: Settings, config_file: Path | None, tell: Tell, keep: Keep
) -> GpuReport:
    """Make models and files, measure; `keep` is told of all that was found so far, again and again. Raises
    `NoRecordings`, `WorkerBroken` where the small real model is missing, and what the media reader raises."""
    from transcriber_worker.inference.model_files import resolve

    recordings_at(order.audio)
    changes = _ON_THE_CPU if order.dry_run else {}
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=changes)})
    torch = _version("torch")
    if torch is None:
        tell("torch is not installed: its encoder is left out (pip install 'transcriber-worker[torch-encoder]')")
    place = _Place(order, settings, config_file, tell, machine_facts(), torch is not None, _versions(torch))
    real = resolve(settings.model.model_copy(update={"name": _VOCABULARY_OF, "sha256": None}), tell)
    small = _Model(ModelFacts(name=real.name, sha256=real.sha256), {"name": _VOCABULARY_OF, "sha256": None, **changes})
    models, named = _made(order, real.path, changes, tell)
    empty = GpuReport(
        made_at=datetime.fromtimestamp(round(place.clock.now()), UTC),
        worker=__version__,
        versions=place.versions,
        machine=place.machine,
        dry_run=order.dry_run,
        models=named,
        repeats=order.effort.repeats,
        cells=(),
        files=(),
        correctness=None,
    )
    found = empty
    for found in _parts(empty, place, models, small):
        keep(found)
    return found


def _made(
    order: GpuBenchOrder, vocabulary_of: Path, changes: dict[str, str | None], tell: Tell
) -> tuple[list[_Model], tuple[RandomModelFacts, ...]]:
    """The random models, and what the report says of them. `changes`: of the settings' fields."""
    from transcriber_worker.inference.random_model.making import random_model
    from transcriber_worker.inference.random_model.shapes import SHAPES

    models, named = [], []
    for shape in (SHAPES[name] for name in order.models):
        tell(f"{shape.name}: made once, of random weights")
        made = random_model(shape, order.out.absolute() / "models", vocabulary_of)
        facts = ModelFacts(name=made.name, sha256=made.sha256)
        models.append(_Model(facts, {"name": str(made.path), "sha256": made.sha256, **changes}))
        sizes = {"encoder_layers": shape.encoder_layers, "decoder_layers": shape.decoder_layers, "width": shape.width}
        named.append(RandomModelFacts(name=made.name, sha256=made.sha256, **sizes))
    return models, tuple(named)


_ON_THE_CPU: dict[str, str | None] = {"device": "cpu", "compute_type": "float32"}


def _parts(report: GpuReport, place: _Place, models: Sequence[_Model], small: _Model) -> Iterator[GpuReport]:
    """The report as it grows. What tells whether all is as it should be comes first."""
    parts, work = place.order.parts, _work(place.order, place.settings)
    if "correctness" in parts:
        report = report.model_copy(update={"correctness": _correctness(place, small, work)})
        yield report
    if "cells" in parts:
        for cell in _cells(place, models, work):
            # Under each other what is compared with each other.
            cells = sorted([*report.cells, cell], key=lambda one: (_place_of(models, one.model), one.beam_size))
            report = report.model_copy(update={"cells": tuple(cells)})
            yield report
    if "files" in parts:
        for model in models:
            report = report.model_copy(update={"files": (*report.files, _files(place, model, work))})
            yield report


def _place_of(models: Sequence[_Model], name: str) -> int:
    return [model.facts.name for model in models].index(name)


def _work(order: GpuBenchOrder, settings: Settings) -> _Work:
    with ExitStack() as stack:
        media = make_media(settings, Machine.this(), SystemClock())
        stack.callback(media.close)
        workshop = Workshop(media, order.audio, order.out / "audio", long_s=order.long_s, backlog=order.files)
        return _Work(workshop.make(Load.BACKLOG), workshop.make(Load.FOLDER))


def _cells(place: _Place, models: Sequence[_Model], work: _Work) -> Iterator[CellFacts]:
    order = place.order
    encoders: list[Encoder] = ["ctranslate2", "torch"] if place.torch else ["ctranslate2"]
    fields = {model.facts.name: model.fields for model in models}
    audio = [str(item.path) for item in work.backlog.items[:_READ]]

    def start(setup: Setup) -> RemoteChild:
        told = {
            "config": str(place.config_file) if place.config_file else None,
            "model": fields[setup.model],
            "encoder": setup.encoder,
            "beam_size": setup.beam_size,
            "streams": max(order.streams),
            "paths": audio,
        }
        command = [sys.executable, "-m", "transcriber_worker.app.bench_cells_child", json.dumps(told)]
        name = f"cells-{setup.model}-{setup.encoder}-beam{setup.beam_size}"
        return RemoteChild(str(setup), command, order.out / "logs" / f"{name}.log")

    setups = grid_of(list(fields), encoders, order.beams)
    grid = Grid(setups, order.batches, order.streams, order.effort)
    room = Room(start, gpu_reader(), place.clock, place.tell)
    for outcome, facts in measure_cells(grid, room):
        yield cell_facts(outcome, facts)


def _files(place: _Place, model: _Model, work: _Work) -> FilesFacts:
    order = place.order
    specs = files_specs(torch=place.torch, dry_run=order.dry_run)
    report = _transcribed(place, model, specs, work.backlog, HELD_AGAINST)
    return FilesFacts(report=report, bounds=bounds_of(report))


def _correctness(place: _Place, model: _Model, work: _Work) -> CorrectnessFacts:
    cuda = on_gpu(place.settings, Machine.this())
    known = [item for item in work.known.items if item.text is not None]
    if place.order.dry_run:
        known = sorted(known, key=lambda item: item.audio_s)[:_IN_A_DRY_RUN]
    else:
        known *= _TIMES
    once = replace(place, order=replace(place.order, rounds=1, beams=place.order.beams[-1:]))
    specs = correctness_specs(torch=place.torch, cuda=cuda)
    workload = replace(work.known, name="known texts", items=tuple(known))
    report = _transcribed(once, model, specs, workload, REFERENCE)
    return correctness_of(report, REFERENCE, CRAMPED if cuda else None)


def _transcribed(
    place: _Place, model: _Model, specs: tuple[Spec, ...], workload: Workload, held_against: str
) -> Report:
    """By one contender after the other, each alone on the GPU."""
    order = place.order
    programme = Programme(specs, (workload,), order.beams, order.rounds, one_at_a_time=True, held_against=held_against)
    logs = order.out / "logs" / model.facts.name
    start = partial(start_contender, place.config_file, model.fields, logs)
    where = Circumstances(place.machine, model.facts, place.versions)
    return run(programme, where, start, Meters(machine_load, place.clock, gpu_reader()), place.tell)


_READ = 6
"""Files that windows are taken from for batches: more than a hundred."""
_TIMES = 4
"""The recordings, so that there are enough windows for large batches."""
_IN_A_DRY_RUN = 3


def _versions(torch: str | None) -> dict[str, str]:
    driver = gpu_driver()
    return package_versions() | ({"torch": torch} if torch else {}) | ({"NVIDIA driver": driver} if driver else {})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
