"""`bench-gpu`: what this machine's GPU can do, without any model to be fetched."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from transcriber_worker.cli.arguments import above_zero
from transcriber_worker.cli.bench import tell
from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode

if TYPE_CHECKING:
    from transcriber_worker.app.bench_gpu import GpuBenchOrder
    from transcriber_worker.tools.bench.gpu.report import GpuReport

T = TypeVar("T")
_MODELS = ("turbo", "large-v3", "tiny")
_PARTS = ("cells", "files", "correctness")
_REPORT = "benchmark-gpu.json"
_TABLE = "benchmark-gpu.md"
_PICTURE = "benchmark-gpu.svg"


def add_commands(commands: Commands) -> None:
    """`bench-gpu`."""
    command = commands.add_parser("bench-gpu", help="measure a GPU with models of random weights (docs/performance.md)")
    add_config_option(command)
    command.add_argument(
        "--dry-run", action="store_true", help="on the CPU, with a tiny model: only to see that it runs"
    )
    command.add_argument("--models", nargs="+", choices=_MODELS, help="default: turbo large-v3")
    command.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS), help="default: all")
    command.add_argument("--beams", nargs="+", type=above_zero(int), metavar="N", help="default: 1 5")
    command.add_argument(
        "--batches", nargs="+", type=above_zero(int), metavar="N", help="windows a batch; default: 1 2 4 8 16 32 64"
    )
    command.add_argument(
        "--streams", nargs="+", type=above_zero(int), metavar="N", help="batches at once; default: 1 2 3"
    )
    command.add_argument("--repeats", type=above_zero(int), metavar="N", help="of each batch size; default: 3")
    command.add_argument(
        "--repeat-s", type=above_zero(float), metavar="S", help="seconds each of them takes; default: 3"
    )
    command.add_argument("--rounds", type=above_zero(int), metavar="N", help="of the files; default: 3")
    command.add_argument("--files", type=above_zero(int), metavar="N", help="files that are transcribed; default: 12")
    command.add_argument("--long-s", type=above_zero(float), metavar="S", help="length of each; default: 660")
    command.add_argument(
        "--audio",
        type=Path,
        default=Path("demo/recordings"),
        metavar="FOLDER",
        help="recordings to put files together from; default: %(default)s",
    )
    command.add_argument("--out", type=Path, default=Path(".bench"), metavar="FOLDER", help="default: %(default)s")
    command.set_defaults(command=_bench_gpu)


def _bench_gpu(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app.bench_gpu import run_bench_gpu
    from transcriber_worker.tools.bench.gpu.picture import picture
    from transcriber_worker.tools.bench.gpu.table import table
    from transcriber_worker.tools.bench.recordings import NoRecordings

    def keep(report: "GpuReport") -> None:
        """Hours must not be lost with the last minute."""
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / _REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (chosen.out / _TABLE).write_text(table(report), encoding="utf-8")
        (chosen.out / _PICTURE).write_text(picture(report), encoding="utf-8")

    settings = settings_of(chosen)
    try:
        report = run_bench_gpu(_order(chosen), settings, chosen.config, tell, keep)
    except NoRecordings as error:
        tell(str(error))
        return ExitCode.USAGE
    sys.stdout.write(table(report) + "\n")
    tell(f"{chosen.out}: {_REPORT}, {_TABLE}, {_PICTURE}")
    return ExitCode.JOB_FAILED if report.failed else ExitCode.OK


def _order(chosen: argparse.Namespace) -> "GpuBenchOrder":
    from transcriber_worker.app.bench_gpu import GpuBenchOrder
    from transcriber_worker.tools.bench.gpu.cells import Effort

    dry = chosen.dry_run
    return GpuBenchOrder(
        audio=chosen.audio,
        out=chosen.out,
        models=_once(chosen.models or (["tiny"] if dry else ["turbo", "large-v3"])),
        parts=frozenset(chosen.parts),
        beams=_once(chosen.beams or ([1] if dry else [1, 5])),
        batches=_once(chosen.batches or ([1, 2] if dry else [1, 2, 4, 8, 16, 32, 64])),
        streams=_once(chosen.streams or ([1, 2] if dry else [1, 2, 3])),
        effort=Effort(chosen.repeats or (2 if dry else 3), chosen.repeat_s or (0.1 if dry else 3.0)),
        rounds=chosen.rounds or (1 if dry else 3),
        files=chosen.files or (2 if dry else 12),
        long_s=chosen.long_s or (20.0 if dry else 660.0),
        dry_run=dry,
    )


def _once(given: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(given))
