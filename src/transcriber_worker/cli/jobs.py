"""`submit`, `status`, `cancel`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Channels, Format, Priority, Task
from transcriber_worker.domain.uri import redacted


def add_commands(commands: Commands) -> None:
    """`submit`, `status`, `cancel`."""
    submit = commands.add_parser("submit", help="send requests for local files, folders or URIs")
    add_config_option(submit)
    submit.add_argument("sources", nargs="+", metavar="SOURCE", help="a file, a folder of files, or a URI")
    submit.add_argument("--wait", action="store_true", help="show progress and wait for the results")
    _add_request_options(submit)
    submit.set_defaults(command=_submit)
    status = commands.add_parser("status", help="show one job, by its own id or its request's, or all of them")
    add_config_option(status)
    status.add_argument("job", nargs="?", metavar="JOB")
    status.add_argument("--json", action="store_true", help="print the record as JSON")
    status.set_defaults(command=_status)
    cancel = commands.add_parser("cancel", help="stop a job, by its own id or its request's")
    add_config_option(cancel)
    cancel.add_argument("job", metavar="JOB")
    cancel.set_defaults(command=_cancel)


def _add_request_options(submit: argparse.ArgumentParser) -> None:
    """Options named like the request's fields."""
    request = submit.add_argument_group("request")
    request.add_argument("--id", help="your own id, with one source")
    request.add_argument("--output", metavar="PREFIX", help="where the transcripts go")
    request.add_argument(
        "--language", metavar="CODE", help="language spoken, or `mixed` where it changes on the way; default: detect it"
    )
    request.add_argument("--languages", metavar="CODE", nargs="+", help="detect among these only")
    request.add_argument("--task", choices=[task.value for task in Task])
    request.add_argument("--format", dest="formats", action="append", choices=[format_.value for format_ in Format])
    request.add_argument("--word-timestamps", action="store_const", const=True)
    request.add_argument("--channels", choices=[channels.value for channels in Channels])
    request.add_argument("--clip", nargs=2, type=float, metavar=("START_S", "END_S"))
    request.add_argument("--prompt")
    request.add_argument("--hotword", dest="hotwords", action="append")
    request.add_argument("--speed", type=float)
    request.add_argument("--priority", choices=[priority.value for priority in Priority])
    request.add_argument("--deadline-s", type=float)
    request.add_argument("--reply-to")
    request.add_argument("--attribute", dest="attributes", action="append", type=_pair, metavar="KEY=VALUE")


_FIELDS = (
    "id", "output", "language", "languages", "task", "formats", "word_timestamps", "channels", "prompt", "hotwords",
    "speed", "priority", "deadline_s", "reply_to",
)  # fmt: skip


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(chosen, name) for name in _FIELDS if getattr(chosen, name) is not None}
    if chosen.clip:
        options["clip"] = {"start_s": chosen.clip[0], "end_s": chosen.clip[1]}
    if chosen.attributes:
        options["attributes"] = dict(chosen.attributes)
    return options


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, not {text!r}")
    return key, value


def _submit(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import open_office
    from transcriber_worker.tools.check_config import own_directories
    from transcriber_worker.tools.submitting import Submitter, find_sources

    settings, options = settings_of(chosen), _options(chosen)
    sources = find_sources(chosen.sources, Path.cwd(), hidden=own_directories(settings))
    if chosen.id and len(sources) > 1:
        raise RejectJob(Reason.INVALID_REQUEST, "--id names one request: submit one source at a time")
    refused = 0
    with open_office(settings) as office:
        submitter = Submitter(office.broker, office.records, office.places.rules, office.shelve, office.clock)
        submitted = []
        for source in sources:
            try:
                one = submitter.submit(source, options)
            except RejectJob as error:
                refused += 1
                sys.stderr.write(f"{redacted(source.text)}: {error.reason}: {error.message}\n")
                continue
            submitted.append(one)
            if not chosen.wait:
                sys.stdout.write(f"{one.job.id}  {one.job.name}\n")
        if chosen.wait and submitted:
            from transcriber_worker.cli.display import wait_and_show

            refused += wait_and_show(office.records, submitted, office.clock)
    return ExitCode.JOB_FAILED if refused else ExitCode.OK


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
