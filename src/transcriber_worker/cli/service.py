"""`run` and `healthcheck`: what a container calls."""

import argparse
import json
import logging
import os
import sys

from transcriber_worker.cli.configs import Commands, add_config_option, settings_of
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.errors import EnvironmentDown, WorkerBroken
from transcriber_worker.settings import ExporterSettings, ObservabilitySettings


def add_commands(commands: Commands) -> None:
    """`run` and `healthcheck`."""
    run = commands.add_parser("run", help="run a worker until SIGTERM")
    add_config_option(run)
    run.add_argument("--exit-when-idle", action="store_true", help="stop when nothing is left to do")
    run.set_defaults(command=_run)
    check = commands.add_parser("healthcheck", help="ask a running worker's /livez, or with --ready its /readyz")
    add_config_option(check)
    check.add_argument("--ready", action="store_true", help="ask whether it takes work, not only whether it lives")
    check.add_argument("--exporter", action="store_true", help="ask a running queue-exporter instead")
    check.set_defaults(command=_healthcheck)


def _run(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.app import run_worker
    from transcriber_worker.observability import events
    from transcriber_worker.observability.logging import emit
    from transcriber_worker.worker.signals import StopRequest

    settings = settings_of(chosen, check=True)
    stop = StopRequest()
    stop.install()
    code = ExitCode.OK
    try:
        run_worker(settings, stop, config_file=chosen.config, exit_when_idle=chosen.exit_when_idle)
    except WorkerBroken as error:
        code = ExitCode.WORKER_BROKEN
        emit(events.WORKER_BROKEN, error=type(error).__name__, message=str(error), exit_code=int(code))
    except EnvironmentDown as error:
        code = ExitCode.UNAVAILABLE
        emit(events.WORKER_BROKEN, error=type(error).__name__, message=str(error), exit_code=int(code))
    except Exception as error:  # a bug, which must not leave a worker hanging that does nothing
        code = ExitCode.ERROR
        emit(events.UNEXPECTED_ERROR, error=type(error).__name__, exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    # A thread inside the model library may still be in the middle of a step that nobody waits for.
    os._exit(code)


def _healthcheck(chosen: argparse.Namespace) -> ExitCode:
    from transcriber_worker.observability.health_server import probe

    section = "exporter" if chosen.exporter else "observability"
    settings: ObservabilitySettings | ExporterSettings = getattr(settings_of(chosen), section)
    if not settings.http_port:
        sys.stderr.write(f"{section}.http_port is 0: there is no port to ask\n")
        return ExitCode.UNHEALTHY
    # A server that listens on every address is asked on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.http_host, settings.http_host)  # noqa: S104
    path = "readyz" if chosen.ready else "livez"
    verdict = probe(f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}/{path}")
    sys.stdout.write(json.dumps(verdict.body) + "\n")
    return ExitCode.OK if verdict.ok else ExitCode.UNHEALTHY
