"""`bench-gpu`, put together: random models, processes that decode batches, contenders that transcribe files."""

import importlib.metadata
import json
import sys
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
from transcriber_worker.observability.process_tree import machine_load
from transcriber_worker.settings import Settings
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
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts
from transcriber_worker.tools.bench.workloads import BACKLOG, LONG_S, Load, Workload, Workshop
from transcriber_worker.tools.limits import Machine, on_gpu

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
class _Work:
    """What is given to whom."""

    backlog: Workload
    known: Workload


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

    @property
    def meters(self) -> Meters:
        return Meters(machine_load, self.clock, gpu_reader())


def run_bench_gpu(order: GpuBenchOrder, settings: Settings, config_file: Path | None, tell: Tell) -> GpuReport:
    """Make models and files, measure. Raises `NoRecordings`, `WorkerBroken` where the small real model is missing, and
    what the media reader raises."""
    from transcriber_worker.inference.model_files import resolve
    from transcriber_worker.inference.random_model.making import random_model
    from transcriber_worker.inference.random_model.shapes import SHAPES

    recordings_at(order.audio)
    if order.dry_run:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update=_ON_THE_CPU)})
    torch = _version("torch")
    if torch is None:
        tell("torch is not installed: its encoder is left out (pip install 'transcriber-worker[torch-encoder]')")
    versions = package_versions() | ({"torch": torch} if torch else {})
    place = _Place(order, settings, config_file, tell, machine_facts(), torch is not None, versions)
    small = settings.model.model_copy(update={"name": _VOCABULARY_OF, "sha256": None})
    real = resolve(small, tell)
    shapes = [SHAPES[name] for name in order.models]
    models = []
    for shape in shapes:
        tell(f"{shape.name}: made once, of random weights")
        models.append(random_model(shape, order.out.absolute() / "models", real.path))
    work = _work(order, settings)
    named = [ModelFacts(name=model.name, sha256=model.sha256) for model in models]
    paths = {model.name: str(model.path) for model in models}
    return GpuReport(
        made_at=datetime.fromtimestamp(round(place.clock.now()), UTC),
        worker=__version__,
        versions=versions,
        machine=place.machine,
        dry_run=order.dry_run,
        models=tuple(
            RandomModelFacts(
                name=model.name,
                sha256=model.sha256,
                encoder_layers=shape.encoder_layers,
                decoder_layers=shape.decoder_layers,
                width=shape.width,
            )
            for model, shape in zip(models, shapes, strict=True)
        ),
        repeats=order.effort.repeats,
        cells=_cells(place, named, paths, work) if "cells" in order.parts else (),
        files=tuple(_files(place, model, paths, work) for model in named) if "files" in order.parts else (),
        correctness=_correctness(place, ModelFacts(name=real.name, sha256=real.sha256), work)
        if "correctness" in order.parts
        else None,
    )


_ON_THE_CPU = {"device": "cpu", "compute_type": "float32"}


def _work(order: GpuBenchOrder, settings: Settings) -> _Work:
    with ExitStack() as stack:
        media = make_media(settings, Machine.this(), SystemClock())
        stack.callback(media.close)
        workshop = Workshop(media, order.audio, order.out / "audio", long_s=order.long_s, backlog=order.files)
        return _Work(workshop.make(Load.BACKLOG), workshop.make(Load.FOLDER))


def _cells(place: _Place, models: list[ModelFacts], paths: dict[str, str], work: _Work) -> tuple[CellFacts, ...]:
    order = place.order
    encoders: list[Encoder] = ["ctranslate2", "torch"] if place.torch else ["ctranslate2"]
    sha256 = {model.name: model.sha256 for model in models}
    audio = [str(item.path) for item in work.backlog.items]

    def start(setup: Setup) -> RemoteChild:
        told = {
            "config": str(place.config_file) if place.config_file else None,
            "model": _model_fields(place, paths[setup.model], sha256[setup.model]),
            "encoder": setup.encoder,
            "beam_size": setup.beam_size,
            "streams": max(order.streams),
            "paths": audio,
        }
        command = [sys.executable, "-m", "transcriber_worker.app.bench_cells_child", json.dumps(told)]
        name = f"cells-{setup.model}-{setup.encoder}-beam{setup.beam_size}"
        return RemoteChild(str(setup), command, order.out / "logs" / f"{name}.log")

    setups = grid_of([model.name for model in models], encoders, order.beams)
    grid = Grid(setups, order.batches, order.streams, order.effort)
    room = Room(start, gpu_reader(), place.clock, place.tell)
    found = [cell_facts(outcome, facts) for outcome, facts in measure_cells(grid, room)]
    # Under each other what is compared with each other.
    return tuple(sorted(found, key=lambda cell: (_order_of(models, cell.model), cell.beam_size)))


def _order_of(models: list[ModelFacts], name: str) -> int:
    return [model.name for model in models].index(name)


def _files(place: _Place, model: ModelFacts, paths: dict[str, str], work: _Work) -> FilesFacts:
    order = place.order
    programme = Programme(
        files_specs(torch=place.torch, dry_run=order.dry_run),
        (work.backlog,),
        order.beams,
        order.rounds,
        one_at_a_time=True,
        held_against=HELD_AGAINST,
    )
    start = partial(
        start_contender,
        place.config_file,
        _model_fields(place, paths[model.name], model.sha256),
        order.out / "logs" / model.name,
    )
    where = Circumstances(place.machine, model, place.versions)
    report = run(programme, where, start, place.meters, place.tell)
    return FilesFacts(report=report, bounds=bounds_of(report))


def _correctness(place: _Place, model: ModelFacts, work: _Work) -> CorrectnessFacts:
    cuda = on_gpu(place.settings, Machine.this())
    specs = correctness_specs(torch=place.torch, cuda=cuda)
    dry = place.order.dry_run
    items = (
        sorted(work.known.items, key=lambda item: item.audio_s)[:_IN_A_DRY_RUN] if dry else work.known.items * _TIMES
    )
    known = replace(work.known, name="known texts", items=tuple(items))
    programme = Programme(specs, (known,), (1,) if dry else (5,), 1, one_at_a_time=True, held_against=REFERENCE)
    fields: dict[str, str | None] = {"name": model.name, "sha256": None, **(_ON_THE_CPU if place.order.dry_run else {})}
    start = partial(start_contender, place.config_file, fields, place.order.out / "logs" / "correctness")
    where = Circumstances(place.machine, model, place.versions)
    report = run(programme, where, start, place.meters, place.tell)
    return correctness_of(report, REFERENCE, CRAMPED if cuda else None)


_TIMES = 4
"""The recordings, so that there are enough windows for large batches."""
_IN_A_DRY_RUN = 3


def _model_fields(place: _Place, path: str, sha256: str) -> dict[str, str | None]:
    return {"name": path, "sha256": sha256, **(_ON_THE_CPU if place.order.dry_run else {})}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
