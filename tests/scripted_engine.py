"""A batch dispatcher over a scripted model."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from tests.rows import a_decoded, a_row
from tests.speech import a_listener
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.caps import Cap
from transcriber_worker.inference.batched.desk import Desk
from transcriber_worker.inference.batched.dispatch import BatchDispatcher
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import BatchModel, Decoded, Row
from transcriber_worker.observability.metrics import Metrics

TIMEOUT_S = 20.0
NO_MEMORY = AcceleratorOutOfMemory("CUDA failed with error out of memory")


def echo(rows: Sequence[Row]) -> list[Decoded]:
    """Says of each row which object it is."""
    return [a_decoded(language=row.language or row.choose_language([("en", 0.9)])) for row in rows]


@dataclass
class Model:
    """A `BatchModel` that remembers its batches and does as it is told."""

    script: Callable[[Sequence[Row]], list[Decoded]] = echo
    batches: list[list[Row]] = field(default_factory=list)

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.batches.append(list(rows))
        return self.script(rows)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


class Held:
    """A script that stays in its first batch until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, rows: Sequence[Row]) -> list[Decoded]:
        self.entered.set()
        assert self.let_go.wait(TIMEOUT_S)
        return echo(rows)


class Engine:
    """A dispatcher with its figures. Rows queued before `start` are batched as if all had come at once."""

    def __init__(
        self, model: BatchModel, *, workers: int = 1, cap: int = 4, share: bool = False, max_batch_s: float = 1e9
    ) -> None:
        self.registry = CollectorRegistry()
        self.clock = ManualClock()
        self.cap = Cap(cap)
        self.dispatcher = BatchDispatcher(
            model,
            workers=workers,
            cap=self.cap,
            max_batch_s=max_batch_s,
            flush_s=0.03,
            clock=self.clock,
            meter=Meter(Metrics(self.registry), self.clock),
            share=share,
        )

    def open(self, key: str = "file", cancel: CancelToken | None = None) -> Desk:
        return self.dispatcher.open(a_listener(key, cancel=cancel))

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"transcriber_{name}", labels)


def ask(desk: Desk, row: Row | None = None, *, again: bool = False) -> Future[Decoded]:
    """Queue a row. The future fails where it is answered twice."""
    future: Future[Decoded] = Future()

    def then(outcome: Decoded | Exception) -> None:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    desk.decode(row or a_row(), then, again=again)
    return future


def hold(engine: Engine, held: Held) -> Future[Decoded]:
    """Keep the only worker busy."""
    future = ask(engine.open("holder"))
    engine.dispatcher.start()
    assert held.entered.wait(TIMEOUT_S)
    return future
