"""What the batching engine's threads do when memory runs out."""

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from tests.rows import PLAIN, STAMPED, a_decoded, a_row
from tests.scripted_engine import NO_MEMORY, TIMEOUT_S, Engine, Held, Model, ask, echo
from transcriber_worker.domain.errors import HandBack, RetryJob, WorkerBroken
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Row

EngineOf = Callable[..., Engine]


def fits(most: int) -> Callable[[Sequence[Row]], list[Decoded]]:
    def script(rows: Sequence[Row]) -> list[Decoded]:
        if len(rows) > most:
            raise NO_MEMORY
        return echo(rows)

    return script


def test_a_batch_that_does_not_fit_is_decoded_in_smaller_ones_and_so_are_those_that_follow(engine_of: EngineOf) -> None:
    model = Model(fits(3))
    engine = engine_of(model, cap=8)
    desk = engine.open()
    rows = [ask(desk) for _ in range(12)]
    engine.dispatcher.start()
    for future in rows:
        assert future.result(TIMEOUT_S) == a_decoded()
    assert model.sizes == [8, 4, 2, 2, 2, 2, 3, 1]  # by four full ones of 2 that went well it grew to 3
    assert engine.figure("accelerator_out_of_memory_total") == 2
    assert engine.figure("batch_cap_rows") == 3


def test_a_row_that_does_not_fit_alone_is_a_retry_for_its_file(engine_of: EngineOf) -> None:
    model = Model(fits(0))
    engine = engine_of(model)
    row = ask(engine.open())
    engine.dispatcher.start()
    with pytest.raises(RetryJob, match="out of memory"):
        row.result(TIMEOUT_S)
    assert model.sizes == [1, 1]


def test_a_failure_that_cuda_reports_twice_costs_no_file_its_row(engine_of: EngineOf) -> None:
    model = Model()

    def script(rows: Sequence[Row]) -> list[Decoded]:
        if len(model.batches) <= 2:
            raise NO_MEMORY
        return echo(rows)

    model.script = script
    engine = engine_of(model)
    rows = [ask(engine.open()), ask(engine.open())]
    engine.dispatcher.start()
    for future in rows:
        assert future.result(TIMEOUT_S) == a_decoded()


def test_what_a_batch_had_allocated_is_free_before_the_next_try(engine_of: EngineOf) -> None:
    """An error's traceback keeps the variables of every frame it passed."""

    class States:
        pass

    allocated: list[weakref.ref[States]] = []
    left: list[bool] = []

    def script(rows: Sequence[Row]) -> list[Decoded]:
        left.extend(states() is not None for states in allocated)
        states = States()
        allocated.append(weakref.ref(states))
        raise AcceleratorOutOfMemory("CUDA failed with error out of memory")

    engine = engine_of(Model(script))
    rows = [ask(engine.open()) for _ in range(2)]
    engine.dispatcher.start()
    for future in rows:
        assert isinstance(future.exception(TIMEOUT_S), AcceleratorOutOfMemory)
    assert len(allocated) > 2
    assert not any(left)


class OneHoldsAll:
    """A script whose first batch takes all memory until it is let go: all others lack some meanwhile."""

    def __init__(self, then: Callable[[Sequence[Row]], list[Decoded]] = echo) -> None:
        self.first = Held()
        self.lacked = threading.Event()
        """A row lacked memory though it was the only one of its batch."""
        self._then = then
        self._calls = itertools.count()

    def __call__(self, rows: Sequence[Row]) -> list[Decoded]:
        if next(self._calls) == 0:
            self.first(rows)
            return self._then(rows)
        if not self.first.let_go.is_set():
            if len(rows) == 1:
                self.lacked.set()
            raise NO_MEMORY
        return echo(rows)


class TestMemoryThatAnotherStreamHolds:
    """Batches take seconds and failures none: the whole queue would fail for a batch that is nearly done."""

    def test_it_is_waited_for(self, engine_of: EngineOf) -> None:
        script = OneHoldsAll()
        model = Model(script)
        engine = engine_of(model, workers=2, cap=4)
        rows = [ask(engine.open(str(number))) for number in range(12)]
        engine.dispatcher.start()
        assert script.lacked.wait(TIMEOUT_S)
        script.first.let_go.set()
        for row in rows:
            assert row.result(TIMEOUT_S).language == "en"
        assert model.sizes[:4] == [4, 4, 2, 1]

    def test_a_row_that_waits_does_not_go_into_a_model_found_dead(self, engine_of: EngineOf) -> None:
        """Where the context is dead, the next call may kill the process."""

        def dead(rows: Sequence[Row]) -> list[Decoded]:
            raise WorkerBroken("dead context")

        script = OneHoldsAll(dead)
        model, engine, rows = self.waiting(engine_of, script)
        script.first.let_go.set()
        for row in rows:
            with pytest.raises(WorkerBroken, match="dead context"):
                row.result(TIMEOUT_S)
        engine.dispatcher.close()
        assert model.sizes == [1, 1]

    def test_a_row_that_waits_when_the_engine_stops_is_not_decoded(self, engine_of: EngineOf) -> None:
        script = OneHoldsAll()
        model, engine, rows = self.waiting(engine_of, script)
        closing = threading.Thread(target=engine.dispatcher.close)
        closing.start()
        for row in rows:
            with pytest.raises(HandBack):
                row.result(TIMEOUT_S)
        script.first.let_go.set()
        closing.join(TIMEOUT_S)
        assert model.sizes == [1, 1]

    def test_the_wait_is_no_time_that_the_row_took(self, engine_of: EngineOf) -> None:
        """Batches would be small for long afterwards."""
        script = OneHoldsAll()
        _, engine, (_, waited) = self.waiting(engine_of, script)
        engine.clock.advance(20.0)
        script.first.let_go.set()
        waited.result(TIMEOUT_S)
        assert engine.dispatcher._pace.rows(PLAIN, FULL_FRAMES) == 1
        assert engine.dispatcher._pace.rows(STAMPED, FULL_FRAMES) is None

    @staticmethod
    def waiting(engine_of: EngineOf, script: OneHoldsAll) -> tuple[Model, Engine, list[Future[Decoded]]]:
        """An engine with a row that holds all memory, and one that lacked some."""
        model = Model(script)
        engine = engine_of(model, workers=2, cap=1, max_batch_s=8.0)
        holder = ask(engine.open("holder"))
        engine.dispatcher.start()
        assert script.first.entered.wait(TIMEOUT_S)
        lacking = ask(engine.open("lacking"), a_row(STAMPED))
        assert script.lacked.wait(TIMEOUT_S)
        return model, engine, [holder, lacking]
