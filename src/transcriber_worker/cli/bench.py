"""`bench`: this worker against faster-whisper used directly, on this machine."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from transcriber_worker.cli.arguments import above_zero
from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.display import tell
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.cli.findings import keep, trouble
from transcriber_worker.tools.bench.workloads import CLIPS, LONG_S

if TYPE_CHECKING:
    from transcriber_worker.app.bench import BenchOrder
    from transcriber_worker.settings import Settings
    from transcriber_worker.tools.bench.contenders import Spec

_LOADS = ("folder", "long", "mixed", "clips")
_REPORT = "benchmark.json"
_TABLE = "benchmark.md"
_PICTURE = "benchmark.svg"
_ADVICE = "recommended.yaml"


def add_commands(commands: Commands) -> None:
    """`bench`."""
    command = commands.add_parser("bench", help="measure this worker against faster-whisper used directly")
    add_config_option(command)
    command.add_argument(
        "--audio",
        type=Path,
        default=Path("demo/recordings"),
        metavar="PATH",
        help="a recording or a folder of them, the known texts in manifest.json beside them; default: %(default)s",
    )
    command.add_argument(
        "--workloads", nargs="+", choices=_LOADS, metavar="NAME", help=f"of {', '.join(_LOADS)}; default: folder"
    )
    command.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        help="whom to measure, the first being what all are held against; default: all (docs/benchmark.md)",
    )
    command.add_argument(
        "--beams", nargs="+", type=above_zero(int), metavar="N", help="beam sizes; default: model.beam_size"
    )
    command.add_argument("--rounds", type=above_zero(int), default=3, metavar="N", help="default: %(default)s")
    command.add_argument("--sweep", action="store_true", help="try settings of the batching engine, recommend some")
    command.add_argument(
        "--one-at-a-time", action="store_true", help="only one model in memory at a time: slower, for small GPUs"
    )
    command.add_argument(
        "--long-s",
        type=above_zero(float),
        default=LONG_S,
        metavar="S",
        help="length of a long recording that is put together; default: %(default)g",
    )
    command.add_argument(
        "--clips", type=above_zero(int), default=CLIPS, metavar="N", help="short clips; default: %(default)s"
    )
    command.add_argument("--out", type=Path, default=Path(".bench"), metavar="FOLDER", help="default: %(default)s")
    command.set_defaults(command=_bench)


def _bench(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app.bench import run_bench
    from transcriber_worker.tools.bench.picture import picture
    from transcriber_worker.tools.bench.recordings import NoRecordings
    from transcriber_worker.tools.bench.sweep import advice
    from transcriber_worker.tools.bench.table import table

    settings = settings_of(chosen)
    try:
        order = _order(chosen, settings)
        report = run_bench(order, settings, chosen.config, tell)
        shown = table(report)
        advised = {_ADVICE: advice(report, order.specs)} if chosen.sweep else {}
        sys.stdout.write("".join([shown, "\n", *advised.values()]))
        found = {_REPORT: report.model_dump_json(indent=2) + "\n", _TABLE: shown, _PICTURE: picture(report)}
        keep(chosen.out, found | advised)
    except (NoRecordings, _UnknownContender) as error:
        tell(str(error))
        return ExitCode.USAGE
    except OSError as error:
        tell(trouble(error, chosen.out))
        return ExitCode.USAGE
    tell(f"{chosen.out}: {_REPORT}, {_TABLE}, {_PICTURE}")
    return ExitCode.JOB_FAILED if report.failed else ExitCode.OK


class _UnknownContender(Exception):
    """The message says which there are."""


def _order(chosen: argparse.Namespace, settings: "Settings") -> "BenchOrder":
    from transcriber_worker.app.bench import BenchOrder, machine_facts
    from transcriber_worker.tools.bench.sweep import sweep_specs
    from transcriber_worker.tools.bench.workloads import Load

    if chosen.sweep:
        machine = machine_facts()
        cuda = settings.model.device == "cuda" or (settings.model.device == "auto" and bool(machine.gpus))
        specs = tuple(sweep_specs(cuda=cuda, cores=machine.cores))
    else:
        specs = _specs(chosen.contenders)
    beams = chosen.beams or [settings.model.beam_size]
    loads = chosen.workloads or ["folder"]
    return BenchOrder(
        audio=chosen.audio,
        out=chosen.out,
        # One recommendation is for one kind of work and one way of decoding.
        loads=tuple(dict.fromkeys(Load(name) for name in (loads[:1] if chosen.sweep else loads))),
        specs=specs,
        beams=tuple(dict.fromkeys(beams[:1] if chosen.sweep else beams)),
        rounds=chosen.rounds,
        one_at_a_time=chosen.one_at_a_time or chosen.sweep,
        long_s=chosen.long_s,
        clips=chosen.clips,
    )


def _specs(names: list[str] | None) -> "tuple[Spec, ...]":
    from transcriber_worker.tools.bench.contenders import SPECS

    unknown = sorted(set(names or ()) - set(SPECS))
    if unknown:
        raise _UnknownContender(f"no such contender: {', '.join(unknown)}; there are: {', '.join(SPECS)}")
    return tuple(SPECS[name] for name in dict.fromkeys(names or SPECS))
