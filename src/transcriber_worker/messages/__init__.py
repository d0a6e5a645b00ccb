"""What goes over the wire: requests and events in, results and dead letters out. Versioned, with JSON Schemas."""

from collections.abc import Mapping

from pydantic import BaseModel

from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.messages.request import Request
from transcriber_worker.messages.result import ResultEvent

SCHEMAS: Mapping[str, type[BaseModel]] = {"request": Request, "result-event": ResultEvent, "dead-letter": DeadLetter}
"""The public contracts, by the name of their schema file."""
