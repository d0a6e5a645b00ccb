"""The composition root: settings in, a running worker or a tool's parts out. The only importer of concrete adapters."""

from transcriber_worker.app.office import Office, open_backlog, open_office
from transcriber_worker.app.worker import run_worker, worker_id

__all__ = ["Office", "open_backlog", "open_office", "run_worker", "worker_id"]
