"""`queue-exporter`: what a small always-on deployment beside the workers calls."""

import argparse

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode


def add_commands(commands: Commands) -> None:
    """`queue-exporter`."""
    command = commands.add_parser(
        "queue-exporter", help="serve the broker's backlog to Prometheus and KEDA until SIGTERM"
    )
    add_config_option(command)
    command.set_defaults(command=_queue_exporter)


def _queue_exporter(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app.exporter import run_queue_exporter
    from transcriber_worker.worker.signals import StopRequest

    settings = settings_of(chosen)
    stop = StopRequest()
    stop.install()
    run_queue_exporter(settings, lambda: stop.requested)
    return ExitCode.OK
