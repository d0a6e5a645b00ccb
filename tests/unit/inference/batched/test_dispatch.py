"""The batching engine's threads, with a scripted model in place of a real one."""

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from tests.rows import STAMPED, a_decoded, a_row
from tests.scripted_engine import TIMEOUT_S, Engine, Held, Model, ask, echo, hold
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled
from transcriber_worker.inference.batched.rows import Decoded, Row

EngineOf = Callable[..., Engine]


class Quiet(Model):
    """Does not remember its batches."""

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        return echo(rows)


def test_rows_of_several_files_share_a_batch_and_each_gets_its_own_answer(engine_of: EngineOf) -> None:
    model = Model()
    engine = engine_of(model)
    futures = {language: ask(engine.open(language), a_row(language=language)) for language in ("de", "en", "fr")}
    engine.dispatcher.start()
    for language, future in futures.items():
        assert future.result(TIMEOUT_S).language == language
    assert model.sizes == [3]


def test_the_figures_tell_of_batches_and_of_the_queue(engine_of: EngineOf) -> None:
    held = Held()
    engine = engine_of(Model(held), cap=4)
    first = hold(engine, held)
    rows = [ask(engine.open()) for _ in range(2)]
    assert engine.figure("batch_queue_rows") == 2
    engine.clock.advance(1.0)
    held.let_go.set()
    for future in (first, *rows):
        future.result(TIMEOUT_S)
    assert engine.figure("batch_queue_rows") == 0
    assert engine.figure("batch_cap_rows") == 4
    assert engine.figure("batch_rows_sum") == 3
    assert engine.figure("batch_fill_ratio_sum") == pytest.approx(3 / 4)
    assert engine.figure("batch_wait_seconds_sum") == pytest.approx(1.03)


def test_two_idle_workers_on_the_cpu_are_both_given_something(engine_of: EngineOf) -> None:
    together = threading.Barrier(2, timeout=TIMEOUT_S)

    def script(rows: Sequence[Row]) -> list[Decoded]:
        together.wait()
        return echo(rows)

    model = Model(script)
    engine = engine_of(model, workers=2, share=True)
    desk = engine.open()
    futures = [ask(desk) for _ in range(4)]
    engine.dispatcher.start()
    for future in futures:
        future.result(TIMEOUT_S)
    assert model.sizes == [2, 2]


def test_workers_that_are_busy_get_no_share(engine_of: EngineOf) -> None:
    held = Held()
    model = Model(held)
    engine = engine_of(model, workers=1, share=True)
    hold(engine, held)
    futures = [ask(engine.open()) for _ in range(4)]
    held.let_go.set()
    for future in futures:
        future.result(TIMEOUT_S)
    assert model.sizes == [1, 4]


def test_batches_after_the_first_are_no_longer_than_expected_to_be_done_in_time(engine_of: EngineOf) -> None:
    model = Model()
    engine = engine_of(model, cap=8, max_batch_s=8.0)

    def two_seconds_a_row(rows: Sequence[Row]) -> list[Decoded]:
        engine.clock.advance(2.0 * len(rows))
        return echo(rows)

    model.script = two_seconds_a_row
    desk = engine.open()
    futures = [ask(desk) for _ in range(16)]
    engine.dispatcher.start()
    for future in futures:
        future.result(TIMEOUT_S)
    assert model.sizes == [8, 4, 4]


def test_a_row_to_be_tried_again_goes_before_the_files_other_rows(engine_of: EngineOf) -> None:
    model = Model()
    engine = engine_of(model, cap=1)
    desk = engine.open()
    new, again = a_row(), a_row()
    futures = [ask(desk, new), ask(desk, again, again=True)]
    engine.dispatcher.start()
    for future in futures:
        future.result(TIMEOUT_S)
    assert model.batches == [[again], [new]]


def test_an_answer_may_come_back_with_more_to_do(engine_of: EngineOf) -> None:
    engine = engine_of(Model())
    desk = engine.open()
    last: Future[Decoded] = Future()

    def once_more(outcome: Decoded | Exception) -> None:
        ask(desk, a_row(STAMPED), again=True).add_done_callback(lambda done: last.set_result(done.result()))

    desk.decode(a_row(), once_more)
    engine.dispatcher.start()
    assert last.result(TIMEOUT_S) == a_decoded()


def test_no_lock_is_held_while_the_model_works_nor_while_an_answer_is_given(engine_of: EngineOf) -> None:
    """Or whoever else wants something of the engine would wait for a whole batch."""
    model = Model()
    engine = engine_of(model)
    other = engine.open("other")
    done: list[str] = []

    def visit(where: str) -> None:
        def call() -> None:
            engine.open("visitor").leave()
            ask(other).cancel()
            other.drop(JobCancelled("by the user"))
            done.append(where)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(TIMEOUT_S)

    def script(rows: Sequence[Row]) -> list[Decoded]:
        if not done:
            visit("model")
        return echo(rows)

    model.script = script
    desk, answered = engine.open(), threading.Event()

    def then(outcome: Decoded | Exception) -> None:
        visit("answer")
        answered.set()

    desk.decode(a_row(), then)
    engine.dispatcher.start()
    assert answered.wait(TIMEOUT_S)
    assert done == ["model", "answer"]


def test_cancelling_answers_what_is_queued_and_what_runs_at_once(engine_of: EngineOf) -> None:
    held = Held()
    model = Model(held)
    engine = engine_of(model, cap=2)
    token = CancelToken()
    desk, innocent = engine.open(cancel=token), engine.open("innocent")
    rows = [ask(desk), ask(innocent), ask(desk), ask(innocent)]
    engine.dispatcher.start()
    assert held.entered.wait(TIMEOUT_S)

    token.cancel(JobCancelled("by the user"))

    for future in (rows[0], rows[2], ask(desk)):
        with pytest.raises(JobCancelled):
            future.result(timeout=0)  # while the batch is still in work
    held.let_go.set()
    assert rows[1].result(TIMEOUT_S) == rows[3].result(TIMEOUT_S) == a_decoded()
    assert model.sizes == [2, 1]


def test_a_file_that_was_cancelled_before_is_answered_at_once(engine_of: EngineOf) -> None:
    token = CancelToken()
    token.cancel(JobCancelled("by the user"))
    with pytest.raises(JobCancelled):
        ask(engine_of(Model()).open(cancel=token)).result(timeout=0)


def test_leaving_hands_back_what_is_queued_and_what_runs(engine_of: EngineOf) -> None:
    held = Held()
    model = Model(held)
    engine = engine_of(model, cap=1)
    desk = engine.open()
    rows = [ask(desk), ask(desk)]
    engine.dispatcher.start()
    assert held.entered.wait(TIMEOUT_S)
    desk.leave()
    desk.leave()
    for future in (*rows, ask(desk)):
        with pytest.raises(HandBack):
            future.result(timeout=0)
    held.let_go.set()
    assert ask(engine.open("next")).result(TIMEOUT_S) == a_decoded()
    assert model.sizes == [1, 1]


def test_an_answer_that_raises_ends_its_file_and_no_other(engine_of: EngineOf) -> None:
    """What takes the answer is part of one file; its fault must not cost the others theirs, nor leave it waiting."""
    engine = engine_of(Model(), cap=1)
    token = CancelToken()
    faulty, other = engine.open("faulty", token), engine.open("other")

    def then(outcome: Decoded | Exception) -> None:
        raise KeyError("no such window")

    faulty.decode(a_row(), then)
    rest = ask(faulty)
    engine.dispatcher.start()
    with pytest.raises(KeyError):
        rest.result(TIMEOUT_S)
    with pytest.raises(KeyError):
        token.raise_if_cancelled()
    assert ask(other).result(TIMEOUT_S) == a_decoded()


def test_an_idle_worker_holds_on_to_nothing_of_what_it_decoded(engine_of: EngineOf) -> None:
    """Hours may pass until its next batch."""
    engine = engine_of(Quiet())
    row = a_row()
    gone = threading.Event()
    weakref.finalize(row.pcm, gone.set)
    future = ask(engine.open(), row)
    del row
    engine.dispatcher.start()
    future.result(TIMEOUT_S)
    assert gone.wait(TIMEOUT_S)


def test_tokens_are_counted_batch_by_batch(engine_of: EngineOf) -> None:
    """A file of ten hours shows how fast it is decoded before it has ended."""
    engine = engine_of(Model(lambda rows: [a_decoded("seven words are seven tokens in here") for _ in rows]))
    desk = engine.open()
    rows = [ask(desk), ask(desk)]
    engine.dispatcher.start()
    for row in rows:
        row.result(TIMEOUT_S)
    assert engine.figure("engine_tokens_total") == 14
