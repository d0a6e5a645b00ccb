"""`status`, `cancel`."""

import argparse
import json
import sys

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode


def add_commands(commands: Commands) -> None:
    """`status`, `cancel`."""
    status = commands.add_parser("status", help="show one job, by its own id or its request's, or all of them")
    add_config_option(status)
    status.add_argument("job", nargs="?", metavar="JOB")
    status.add_argument("--json", action="store_true", help="print the record as JSON")
    status.set_defaults(command=_status)
    cancel = commands.add_parser("cancel", help="stop a job, by its own id or its request's")
    add_config_option(cancel)
    cancel.add_argument("job", metavar="JOB")
    cancel.set_defaults(command=_cancel)


def _status(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.cli.display import show_record, show_records

    with open_office(settings_of(chosen)) as office:
        if chosen.job is None:
            records = [found.record for found in office.records.all()]
            if chosen.json:
                sys.stdout.write(json.dumps([record.model_dump(mode="json") for record in records], indent=1) + "\n")
            else:
                show_records(records)
            return ExitCode.OK
        found = office.records.find(chosen.job)
    if found is None:
        sys.stderr.write(f"there is no job {chosen.job}\n")
        return ExitCode.NOT_FOUND
    if chosen.json:
        sys.stdout.write(found.record.model_dump_json(indent=1) + "\n")
    else:
        show_record(found)
    return ExitCode.OK


def _cancel(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.pipeline.records import TERMINAL
    from transcriber_worker.tools.watching import cancel

    with open_office(settings_of(chosen)) as office:
        record = cancel(office.records, chosen.job)
    if record is None:
        sys.stderr.write(f"there is no job {chosen.job}\n")
        return ExitCode.NOT_FOUND
    if record.state in TERMINAL:
        sys.stderr.write(f"job {record.job_id} is {record.state} already\n")
        return ExitCode.NOT_FOUND
    sys.stdout.write(f"job {record.job_id} will be stopped\n")
    return ExitCode.OK
