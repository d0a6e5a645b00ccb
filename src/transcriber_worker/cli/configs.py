"""Settings for every command, and `check-config`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.settings import Settings
from transcriber_worker.tools.check_config import load, place_problems, problems
from transcriber_worker.tools.limits import Machine
from transcriber_worker.tools.problem import Problem

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = Any


class BadConfig(Exception):
    """The configuration is wrong; the message lists every problem."""

    def __init__(self, found: Sequence[Problem]) -> None:
        lines = "\n".join(f"  {problem}" for problem in found)
        super().__init__(f"{len(found)} problem{'s' if len(found) > 1 else ''} in the configuration:\n{lines}")


def add_config_option(command: argparse.ArgumentParser) -> None:
    """`--config`, which every command that touches jobs takes."""
    command.add_argument("--config", type=Path, metavar="FILE", help="YAML settings; default: built-in defaults")


def settings_of(chosen: argparse.Namespace, *, check: bool = False) -> Settings:
    """The settings a command runs with; raises `BadConfig`. `check`: also that a worker could run with them on this
    machine."""
    loaded = load(chosen.config)
    if isinstance(loaded, list):
        raise BadConfig(loaded)
    found = problems(loaded, Machine.this()) if check else place_problems(loaded)
    if found:
        raise BadConfig(found)
    return loaded


def add_commands(commands: Commands) -> None:
    """`check-config`."""
    command = commands.add_parser("check-config", help="list every problem of a configuration, with its remedy")
    add_config_option(command)
    command.set_defaults(command=_check_config)


def _check_config(chosen: argparse.Namespace) -> ExitCode:
    settings_of(chosen, check=True)
    sys.stdout.write("the configuration is good, and its limits fit this machine\n")
    return ExitCode.OK
