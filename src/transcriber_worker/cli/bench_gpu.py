"""`bench-gpu`: what this machine's GPU can do, without any model to be fetched."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from transcriber_worker.cli.arguments import above_zero
from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.display import tell
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.cli.findings import keep, trouble
from transcriber_worker.tools.bench.gpu import PARTS
from transcriber_worker.tools.bench.workloads import BACKLOG, LONG_S

if TYPE_CHECKING:
    from transcriber_worker.app.bench_gpu import GpuBenchOrder
    from transcriber_worker.tools.bench.gpu.report import GpuReport

T = TypeVar("T")
_MODELS = ("turbo", "large-v3", "tiny")
_REPORT = "benchmark-gpu.json"
_TABLE = "benchmark-gpu.md"
_PICTURE = "benchmark-gpu.svg"


@dataclass(frozen=True, slots=True)
class _Extent:
    """How much is measured where nothing else was asked for."""

    models: tuple[str, ...]
    beams: tuple[int, ...]
    batches: tuple[int, ...]
    streams: tuple[int, ...]
    repeats: int
    repeat_s: float
    rounds: int
    files: int
    long_s: float


_FULL = _Extent(
    models=("turbo", "large-v3"),
    beams=(1, 5),
    batches=(1, 2, 4, 8, 16, 32, 64),
    streams=(1, 2, 3),
    repeats=3,
    repeat_s=3.0,
    rounds=3,
    files=BACKLOG,
    long_s=LONG_S,
)
_DRY = _Extent(
    models=("tiny",),
    beams=(1,),
    batches=(1, 2),
    streams=(1, 2),
    repeats=2,
    repeat_s=0.1,
    rounds=1,
    files=2,
    long_s=20.0,
)


def add_commands(commands: Commands) -> None:
    """`bench-gpu`."""
    command = commands.add_parser("bench-gpu", help="measure a GPU with models of random weights (docs/performance.md)")
    add_config_option(command)
    command.add_argument(
        "--dry-run", action="store_true", help="on the CPU, with a tiny model, little of all: only to see that it runs"
    )
    command.add_argument("--models", nargs="+", choices=_MODELS, help=f"default: {_listed(_FULL.models)}")
    command.add_argument("--parts", nargs="+", choices=PARTS, help="default: all")
    _add_numbers(command, "--beams", "beam sizes", _FULL.beams)
    _add_numbers(command, "--batches", "windows a batch", _FULL.batches)
    _add_numbers(command, "--streams", "batches at once", _FULL.streams)
    _add_number(command, "--repeats", "N", "of each batch size", _FULL.repeats)
    _add_number(command, "--repeat-s", "S", "seconds each of them takes", _FULL.repeat_s)
    _add_number(command, "--rounds", "N", "of the files", _FULL.rounds)
    _add_number(command, "--files", "N", "files that are transcribed", _FULL.files)
    _add_number(command, "--long-s", "S", "length of each", _FULL.long_s)
    command.add_argument(
        "--audio",
        type=Path,
        default=Path("demo/recordings"),
        metavar="FOLDER",
        help="recordings to put files together from; default: %(default)s",
    )
    command.add_argument("--out", type=Path, default=Path(".bench"), metavar="FOLDER", help="default: %(default)s")
    command.set_defaults(command=_bench_gpu)


def _add_numbers(command: argparse.ArgumentParser, option: str, what: str, default: tuple[int, ...]) -> None:
    told = f"{what}; default: {_listed(default)}"
    command.add_argument(option, nargs="+", type=above_zero(int), metavar="N", help=told)


def _add_number(command: argparse.ArgumentParser, option: str, unit: str, what: str, default: float) -> None:
    told = f"{what}; default: {default:g}"
    command.add_argument(option, type=above_zero(type(default)), metavar=unit, help=told)


def _listed(values: Sequence[object]) -> str:
    return " ".join(map(str, values))


def _bench_gpu(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app.bench_gpu import run_bench_gpu
    from transcriber_worker.tools.bench.gpu.picture import picture
    from transcriber_worker.tools.bench.gpu.table import table
    from transcriber_worker.tools.bench.recordings import NoRecordings

    def keep_so_far(report: "GpuReport") -> None:
        """Hours must not be lost with the last minute."""
        told = report.model_dump_json(indent=2) + "\n"
        keep(chosen.out, {_REPORT: told, _TABLE: table(report), _PICTURE: picture(report)})

    settings = settings_of(chosen)
    try:
        report = run_bench_gpu(_order(chosen), settings, chosen.config, tell, keep_so_far)
    except NoRecordings as error:
        tell(str(error))
        return ExitCode.USAGE
    except OSError as error:
        tell(trouble(error, chosen.out))
        return ExitCode.USAGE
    sys.stdout.write(table(report) + "\n")
    tell(f"{chosen.out}: {_REPORT}, {_TABLE}, {_PICTURE}")
    return ExitCode.JOB_FAILED if report.failed else ExitCode.OK


def _order(chosen: argparse.Namespace) -> "GpuBenchOrder":
    from transcriber_worker.app.bench_gpu import GpuBenchOrder
    from transcriber_worker.tools.bench.gpu.cells import Effort

    default = _DRY if chosen.dry_run else _FULL
    return GpuBenchOrder(
        audio=chosen.audio,
        out=chosen.out,
        models=_once(chosen.models or default.models),
        parts=frozenset(chosen.parts) if chosen.parts else None,
        beams=_once(chosen.beams or default.beams),
        batches=_once(chosen.batches or default.batches),
        streams=_once(chosen.streams or default.streams),
        effort=Effort(chosen.repeats or default.repeats, chosen.repeat_s or default.repeat_s),
        rounds=chosen.rounds or default.rounds,
        files=chosen.files or default.files,
        long_s=chosen.long_s or default.long_s,
        dry_run=chosen.dry_run,
    )


def _once(given: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(given))
