"""`demo`: see the main job done on real recordings."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from transcriber_worker.cli.configs import Commands, settings_of
from transcriber_worker.cli.exits import ExitCode

if TYPE_CHECKING:
    from transcriber_worker.tools.demo import Row

_STAGES = ("download", "open", "read", "transcribe", "assemble", "commit", "render")


def add_commands(commands: Commands) -> None:
    """`demo`."""
    command = commands.add_parser("demo", help="start a worker, transcribe a folder of recordings, show the results")
    command.add_argument("recordings", type=Path, metavar="FOLDER", help="recordings to transcribe")
    command.add_argument("--folder", type=Path, default=Path(".demo"), help="where spool and transcripts go")
    command.set_defaults(command=_demo, config=None)


def _demo(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.cli.display import wait_and_show
    from transcriber_worker.tools.demo import environment, recordings_in, results_place, row, running_worker
    from transcriber_worker.tools.submitting import Source, Submitter

    folder = chosen.folder.absolute()
    os.environ.update(environment(folder))
    settings = settings_of(chosen, check=True)
    recordings = recordings_in(chosen.recordings) if chosen.recordings.is_dir() else []
    if not recordings:
        sys.stderr.write(f"there are no recordings in {chosen.recordings}\n")
        return ExitCode.USAGE
    sys.stdout.write(f"starting a worker (its log: {folder}/worker.log)\n")
    with open_office(settings) as office, running_worker(folder) as worker:
        submitter = Submitter(office.broker, office.records, office.places.rules, office.shelve, office.clock)
        submitted = [submitter.submit(Source(str(path), path, path.name), {}) for path in recordings]
        sys.stdout.write(f"submitted {len(submitted)} recordings; the model is fetched on first use\n")
        failed = wait_and_show(office.records, submitted, office.clock, give_up=lambda: worker.poll() is not None)
        rows = []
        for one in submitted:
            found = office.records.read(one.job.id)
            if found is not None and found.record.result is not None and not found.record.error:
                rows.append(row(office.store, one.job, found.record))
    _show(rows)
    if failed:
        sys.stderr.write(f"{failed} recordings have no transcript; see {folder}/worker.log\n")
        return ExitCode.JOB_FAILED
    sys.stdout.write(f"transcripts: {settings.storage.output}\nresult events: {results_place(settings.broker)}\n")
    return ExitCode.OK


def _show(rows: "list[Row]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140, markup=False, highlight=False)
    table = Table("file", *(name for name in ("audio s", "wall s", "x real time", *_STAGES)), "warnings")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for one in rows:
        speed = f"{one.audio_s / one.wall_s:.1f}" if one.wall_s > 0 else ""
        stages = (f"{one.timings.get(stage, 0.0):.2f}" for stage in _STAGES)
        table.add_row(one.name, f"{one.audio_s:.1f}", f"{one.wall_s:.1f}", speed, *stages, ", ".join(one.warnings))
    console.print(table)
    for one in rows:
        console.print(one.name, style="bold")
        console.print(f"  {one.first_line[:240]}")
