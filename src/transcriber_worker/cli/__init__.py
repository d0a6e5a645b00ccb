"""The command line: `transcriber-worker`. Turns outcomes into exit codes, and errors into one line that says what to
do."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from transcriber_worker import __version__
from transcriber_worker.cli import (
    bench,
    bench_gpu,
    configs,
    demo,
    jobs,
    letters,
    models,
    queue_exporter,
    service,
    submit,
)
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import EnvironmentDown, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.pipeline.records import BrokenRecord


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    root = argparse.ArgumentParser(
        prog="transcriber-worker",
        description="Self-hosted transcription: many audio files at once on one accelerator, nothing lost.",
    )
    root.add_argument("--version", action="version", version=f"transcriber-worker {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (service, submit, jobs, letters, configs, models, queue_exporter, demo, bench, bench_gpu):
        module.add_commands(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point; exits with one of `ExitCode`."""
    chosen = parser().parse_args(arguments)
    exit_with(lambda: chosen.command(chosen))


def exit_with(command: Callable[[], int]) -> NoReturn:
    """Exit as a command ends: with its code, or the one of what it raised, told in one line."""
    try:
        code = command()
    except configs.BadConfig as error:
        _complain(str(error))
        code = ExitCode.CONFIG
    except RejectJob as error:
        _complain(f"{error.reason}: {error.message}")
        code = ExitCode.JOB_FAILED
    except (EnvironmentDown, RetryJob) as error:
        _complain(str(error))
        code = ExitCode.UNAVAILABLE
    except WorkerBroken as error:
        _complain(str(error))
        code = ExitCode.WORKER_BROKEN
    except BrokenRecord as error:
        _complain(str(error))
        code = ExitCode.ERROR
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    sys.exit(code)


def _complain(text: str) -> None:
    sys.stderr.write(f"transcriber-worker: {text}\n")
