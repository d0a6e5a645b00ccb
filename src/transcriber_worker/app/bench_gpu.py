"""`bench-gpu`, put together: random models, processes that decode batches, contenders that transcribe files."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from transcriber_worker import __version__
from transcriber_worker.app.bench import machine_facts, make_workloads, package_versions, start_contender
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.observability.gpu_reading import gpu_reader
from transcriber_worker.observability.process_tree import machine_load
from transcriber_worker.settings import Settings
from transcriber_worker.tools.bench.gpu import PARTS
from transcriber_worker.tools.bench.gpu.cells import CellMeters, Effort, Encoder, Grid, Setup, grid_of, measure_cells
from transcriber_worker.tools.bench.gpu.contenders import PIPELINES, correctness_specs, files_specs
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
from transcriber_worker.tools.bench.recordings import NoRecordings, recordings_at
from transcriber_worker.tools.bench.remote import RemoteChild
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts, Report
from transcriber_worker.tools.bench.workloads import Load, Workload

Keep = Callable[[GpuReport], None]

_VOCABULARY_OF = "base"
"""Whose words the random models write; with its own weights it shows that a device hears what the CPU hears."""
_ON_THE_CPU: dict[str, str | None] = {"device": "cpu", "compute_type": "float32"}
_READ = 6
"""Files that windows are taken from for batches: more than a hundred, unless files are shorter than by default."""
_TIMES = 4
"""Correctness is checked with so many of each recording, so that there are enough windows for large batches."""
_IN_A_DRY_RUN = 3


@dataclass(frozen=True, slots=True)
class GpuBenchOrder:
    """What a user asked for."""

    audio: Path
    """A folder of recordings."""
    out: Path
    """Where models, made audio and logs go."""
    models: tuple[str, ...]
    """Names of shapes."""
    parts: frozenset[str] | None
    """Of `cells`, `files` and `correctness`; None: all that these recordings allow."""
    beams: tuple[int, ...]
    batches: tuple[int, ...]
    streams: tuple[int, ...]
    effort: Effort
    rounds: int
    files: int
    long_s: float
    dry_run: bool

    @property
    def device_fields(self) -> dict[str, str | None]:
        """Of the settings' model: where it is run, if not as they say."""
        return _ON_THE_CPU if self.dry_run else {}


@dataclass(frozen=True, slots=True)
class _Place:
    """What all parts of a run share."""

    order: GpuBenchOrder
    parts: frozenset[str]
    settings: Settings
    config_file: Path | None
    tell: Tell
    machine: MachineFacts
    versions: dict[str, str]
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def torch(self) -> bool:
        """Whether it is installed."""
        return "torch" in self.versions


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
    `NoRecordings`, `WorkerBroken` where there is no GPU or no small real model, what the media reader raises, and
    `OSError` and `ValueError` where a random model can't be made."""
    parts = _parts_of(order, tell)
    if not order.dry_run:
        _look_for_gpu(settings)
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=order.device_fields)})
    place = _Place(order, parts, settings, config_file, tell, machine_facts(), package_versions())
    if not place.torch:
        tell("torch is not installed: its encoder is left out (pip install 'transcriber-worker[torch-encoder]')")
    small = _small_model(place) if "correctness" in parts else None
    models, named = _made(place) if parts - {"correctness"} else ([], ())
    found = empty = GpuReport(
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
    for found in _measured(empty, place, models, small):
        keep(found)
    return found


def _parts_of(order: GpuBenchOrder, tell: Tell) -> frozenset[str]:
    """What to measure; raises `NoRecordings` where that can't be done."""
    known = any(one.text and not one.damaged for one in recordings_at(order.audio))
    parts = order.parts or frozenset(PARTS)
    if known or "correctness" not in parts:
        return parts
    missing = f"{order.audio}: no recording's text is known, so that correctness can't be checked"
    if order.parts is not None:
        raise NoRecordings(f"{missing}; leave it out with --parts cells files, or put a manifest.json beside them")
    tell(f"{missing}: it is left out")
    return parts - {"correctness"}


def _look_for_gpu(settings: Settings) -> None:
    """Raise `WorkerBroken` where the CPU would be measured and called a GPU."""
    from transcriber_worker.inference.loading import pick_device

    if settings.model.device == "cpu" or pick_device("auto", "auto")[0] != "cuda":
        why = "model.device is cpu" if settings.model.device == "cpu" else "CTranslate2 finds none"
        raise WorkerBroken(
            f"there is no GPU to measure: {why}. nvidia-smi and docs/operations.md, A lost GPU, help to find out; "
            "with --dry-run the CPU shows whether everything runs"
        )


def _small_model(place: _Place) -> _Model:
    from transcriber_worker.inference.model_files import resolve

    fields = _vocabulary_fields()
    real = resolve(place.settings.model.model_copy(update=fields), place.tell)
    return _Model(ModelFacts(name=real.name, sha256=real.sha256), {**fields, **place.order.device_fields})


def _vocabulary_fields() -> dict[str, str | None]:
    return {"name": _VOCABULARY_OF, "sha256": None}


def _made(place: _Place) -> tuple[list[_Model], tuple[RandomModelFacts, ...]]:
    """The random models, and what the report says of them."""
    from transcriber_worker.inference.model_files import all_but_weights
    from transcriber_worker.inference.random_model.making import random_model
    from transcriber_worker.inference.random_model.shapes import SHAPES

    order = place.order
    vocabulary = all_but_weights(place.settings.model.model_copy(update=_vocabulary_fields()), place.tell)
    models, named = [], []
    for shape in (SHAPES[name] for name in order.models):
        place.tell(f"{shape.name}: made once, of random weights")
        made = random_model(shape, order.out.absolute() / "models", vocabulary)
        facts = ModelFacts(name=made.name, sha256=made.sha256)
        models.append(_Model(facts, {"name": str(made.path), "sha256": made.sha256, **order.device_fields}))
        sizes = {"encoder_layers": shape.encoder_layers, "decoder_layers": shape.decoder_layers, "width": shape.width}
        named.append(RandomModelFacts(name=made.name, sha256=made.sha256, **sizes))
    return models, tuple(named)


def _measured(report: GpuReport, place: _Place, models: Sequence[_Model], small: _Model | None) -> Iterator[GpuReport]:
    """The report as it grows. What tells whether all is as it should be comes first."""
    if small is not None:
        for correctness in _correctness(place, small):
            report = report.model_copy(update={"correctness": correctness})
            yield report
    if not models:
        return
    backlog = _workload(place, Load.BACKLOG)
    if "cells" in place.parts:
        for cell in _cells(place, models, backlog):
            report = report.model_copy(update={"cells": (*report.cells, cell)})
            yield report
    if "files" in place.parts:
        for model in models:
            before = report.files
            for files in _files(place, model, backlog):
                report = report.model_copy(update={"files": (*before, files)})
                yield report


def _workload(place: _Place, load: Load) -> Workload:
    order = place.order
    sizes = {"long_s": order.long_s, "backlog": order.files}
    (made,) = make_workloads(place.settings, order.audio, order.out / "audio", (load,), **sizes)
    return made


def _cells(place: _Place, models: Sequence[_Model], backlog: Workload) -> Iterator[CellFacts]:
    order = place.order
    encoders: list[Encoder] = ["ctranslate2", "torch"] if place.torch else ["ctranslate2"]
    fields = {model.facts.name: model.fields for model in models}
    audio = [str(item.path) for item in backlog.items[:_READ]]

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
    meters = CellMeters(start, gpu_reader(), place.clock, place.tell)
    yield from map(cell_facts, measure_cells(grid, meters))


def _files(place: _Place, model: _Model, backlog: Workload) -> Iterator[FilesFacts]:
    """After each round."""
    order = place.order
    specs = files_specs(torch=place.torch, dry_run=order.dry_run)
    for report in _transcribed(place, model, Programme(specs, (backlog,), order.beams, order.rounds)):
        yield FilesFacts(report=report, bounds=bounds_of(report))


def _correctness(place: _Place, model: _Model) -> Iterator[CorrectnessFacts]:
    """With the widest beam, which is where memory runs out first; once, since it is not about time."""
    order = place.order
    workload = _workload(place, Load.FOLDER)
    known = [item for item in workload.items if item.text is not None]
    if order.dry_run:
        known = sorted(known, key=lambda item: item.audio_s)[:_IN_A_DRY_RUN]
    else:
        known *= _TIMES
    workload = replace(workload, name="known texts", items=tuple(known))
    specs = correctness_specs(torch=place.torch, cuda=not order.dry_run)
    for report in _transcribed(place, model, Programme(specs, (workload,), (max(order.beams),), 1)):
        yield correctness_of(report)


def _transcribed(place: _Place, model: _Model, programme: Programme) -> Iterator[Report]:
    """By one contender after the other, each alone on the GPU."""
    programme = replace(programme, one_at_a_time=True, held_against=PIPELINES)
    logs = place.order.out / "logs" / model.facts.name
    start = partial(start_contender, place.config_file, model.fields, logs)
    where = Circumstances(place.machine, model.facts, place.versions)
    return run(programme, where, start, Meters(machine_load, place.clock, gpu_reader()), place.tell)
