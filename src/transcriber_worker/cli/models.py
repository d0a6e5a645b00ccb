"""`fetch-model`: what an init container calls, so that workers start without a hub."""

import argparse
import sys

from transcriber_worker.cli.configs import BadConfig, Commands, add_config_option
from transcriber_worker.cli.exits import ExitCode


def add_commands(commands: Commands) -> None:
    """`fetch-model`."""
    command = commands.add_parser("fetch-model", help="put the model into its cache and verify it")
    add_config_option(command)
    command.add_argument(
        "--from",
        dest="mirror",
        metavar="PREFIX",
        help="where folders named like the models lie, such as oci://models@namespace/; default: as model.source says",
    )
    command.set_defaults(command=_fetch_model)


def _fetch_model(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app.models import fetch_model
    from transcriber_worker.domain.uri import InvalidUri
    from transcriber_worker.tools.check_config import FAKE_MODEL, load
    from transcriber_worker.tools.problem import Problem

    # Of the other settings nothing is needed: an init container has no secrets of the broker, nor its volumes.
    settings = load(chosen.config)
    if isinstance(settings, list):
        raise BadConfig(settings)
    if settings.model.name == FAKE_MODEL:
        sys.stdout.write("the fake model needs no files\n")
        return ExitCode.OK
    try:
        files = fetch_model(settings, chosen.mirror, _tell)
    except InvalidUri as error:
        raise BadConfig([Problem("--from", str(error), "write a directory or a URI")]) from error
    sys.stdout.write(f"{files.path} is the model {files.name}, model.bin {files.sha256}\n")
    return ExitCode.OK


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
