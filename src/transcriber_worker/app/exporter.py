"""The queue-exporter, put together from its settings."""

import os
from collections.abc import Callable
from contextlib import ExitStack

from prometheus_client import CollectorRegistry

from transcriber_worker import __version__
from transcriber_worker.app.office import open_backlog
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability import events
from transcriber_worker.observability.backlog import BacklogCollector
from transcriber_worker.observability.http_server import HttpServer, metrics_route
from transcriber_worker.observability.logging import configure, emit, log_uncaught_errors, route_vendor_loggers
from transcriber_worker.settings import Settings
from transcriber_worker.tools.queue_exporter import QueueExporter

NAME = "queue-exporter"


def run_queue_exporter(settings: Settings, stopped: Callable[[], bool]) -> None:
    """Serve the backlog until `stopped`. Raises `WorkerBroken` where the port can't be had, `EnvironmentDown` where not
    even the configuration of the broker can be used."""
    configure(settings.observability, worker_id=NAME)
    log_uncaught_errors()
    emit(events.WORKER_STARTING, version=__version__, pid=os.getpid())
    with ExitStack() as stack:
        exporter = QueueExporter(stack.enter_context(open_backlog(settings)), settings.exporter, SystemClock())
        route_vendor_loggers()  # the broker's library, imported just now, may have brought handlers of its own
        registry = CollectorRegistry()
        registry.register(BacklogCollector(exporter.figures))
        listen = settings.exporter
        routes = exporter.routes(metrics_route(registry))
        stack.enter_context(HttpServer(routes, listen.http_host, listen.http_port, section="exporter"))
        exporter.run(stopped)
