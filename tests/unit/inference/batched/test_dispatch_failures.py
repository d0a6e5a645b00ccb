"""What the batching engine's threads do when a batch fails, and how they end."""

import threading
from collections.abc import Callable, Sequence

import pytest

from tests.rows import a_decoded, a_row
from tests.scripted_engine import NO_MEMORY, TIMEOUT_S, Engine, Held, Model, ask, echo, hold
from transcriber_worker.domain.errors import HandBack, JobCancelled, WorkerBroken
from transcriber_worker.inference.batched.rows import Decoded, Ranking, Row

EngineOf = Callable[..., Engine]


def test_closing_hands_back_everything_at_once_and_waits_for_what_runs() -> None:
    held = Held()
    engine = Engine(Model(held), cap=1)
    running = hold(engine, held)
    desk = engine.open()
    queued = ask(desk)
    closing = threading.Thread(target=engine.dispatcher.close)
    closing.start()
    for future in (queued, running):
        with pytest.raises(HandBack):
            future.result(TIMEOUT_S)
    assert closing.is_alive()
    held.let_go.set()
    closing.join(TIMEOUT_S)
    assert not closing.is_alive()
    with pytest.raises(HandBack):
        ask(desk).result(timeout=0)
    with pytest.raises(HandBack):
        engine.open()
    engine.dispatcher.close()
    assert not any(thread.is_alive() for thread in engine.dispatcher._threads)


def test_an_engine_that_was_not_started_can_be_closed() -> None:
    engine = Engine(Model())
    row = ask(engine.open())
    engine.dispatcher.close()
    with pytest.raises(HandBack):
        row.result(timeout=0)


def test_a_broken_engine_fails_everything_and_takes_nothing_more(engine_of: EngineOf) -> None:
    """After a dead CUDA context every call would fail, some of them by killing the process."""

    def script(rows: Sequence[Row]) -> list[Decoded]:
        raise WorkerBroken("dead context")

    model = Model(script)
    engine = engine_of(model, cap=1)
    desk, other = engine.open(), engine.open("other")
    rows = [ask(desk), ask(desk), ask(other)]
    engine.dispatcher.start()
    for future in rows:
        with pytest.raises(WorkerBroken, match="dead context"):
            future.result(TIMEOUT_S)
    with pytest.raises(WorkerBroken):
        ask(other).result(timeout=0)
    with pytest.raises(WorkerBroken):
        engine.open()
    assert model.sizes == [1]


def test_a_fault_of_the_engine_itself_breaks_it_rather_than_leave_files_waiting(
    engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(Model())
    monkeypatch.setattr(engine.dispatcher._cap, "rows", lambda frames: 1 // 0)
    row = ask(engine.open())
    engine.dispatcher.start()
    with pytest.raises(WorkerBroken, match="ZeroDivisionError"):
        row.result(TIMEOUT_S)


def test_a_row_that_fails_fails_alone(engine_of: EngineOf) -> None:
    bad = a_row()

    def script(rows: Sequence[Row]) -> list[Decoded]:
        if bad.pcm is rows[-1].pcm:
            raise ValueError("a strange row")
        return echo(rows)

    model = Model(script)
    engine = engine_of(model)
    rows = [ask(engine.open(str(number))) for number in range(3)]
    failing = ask(engine.open("bad"), bad)
    engine.dispatcher.start()
    with pytest.raises(ValueError, match="a strange row"):
        failing.result(TIMEOUT_S)
    for future in rows:
        assert future.result(TIMEOUT_S) == a_decoded()
    assert model.sizes == [4, 1, 1, 1, 1]
    assert engine.figure("window_retries_total", retry="alone") == 4


def test_a_row_that_fails_alone_is_not_tried_again(engine_of: EngineOf) -> None:
    def script(rows: Sequence[Row]) -> list[Decoded]:
        raise ValueError("a strange row")

    model = Model(script)
    engine = engine_of(model)
    row = ask(engine.open())
    engine.dispatcher.start()
    with pytest.raises(ValueError, match="a strange row"):
        row.result(TIMEOUT_S)
    assert model.sizes == [1]
    assert engine.figure("window_retries_total", retry="alone") == 0


def test_rows_of_a_file_that_was_dropped_meanwhile_are_not_tried_again(engine_of: EngineOf) -> None:
    held = Held()

    def script(rows: Sequence[Row]) -> list[Decoded]:
        if len(rows) > 1:
            held(rows)
            raise ValueError("one of them is strange")
        return echo(rows)

    model = Model(script)
    engine = engine_of(model)
    desk, other = engine.open(), engine.open("other")
    futures = [ask(desk), ask(other), ask(desk)]
    engine.dispatcher.start()
    assert held.entered.wait(TIMEOUT_S)
    desk.drop(JobCancelled("by the user"))
    held.let_go.set()
    assert futures[1].result(TIMEOUT_S) == a_decoded()
    assert model.sizes == [3, 1]


def test_a_model_that_answers_too_few_rows_fails_them_rather_than_leave_them_waiting(engine_of: EngineOf) -> None:
    engine = engine_of(Model(lambda rows: []))
    row = ask(engine.open())
    engine.dispatcher.start()
    with pytest.raises(RuntimeError, match="answered 0 of 1 rows"):
        row.result(TIMEOUT_S)


def test_the_language_of_a_row_is_asked_for_once_though_it_is_decoded_again(engine_of: EngineOf) -> None:
    asked: list[Ranking] = []

    def choose(ranking: Ranking) -> str:
        asked.append(ranking)
        return "de"

    model = Model()

    def script(rows: Sequence[Row]) -> list[Decoded]:
        decoded = echo(rows)
        if len(model.batches) == 1:
            raise NO_MEMORY
        return decoded

    model.script = script
    engine = engine_of(model)
    row = ask(engine.open(), a_row(language=None, choose_language=choose))
    engine.dispatcher.start()
    assert row.result(TIMEOUT_S).language == "de"
    assert len(asked) == 1


@pytest.mark.parametrize("error", [RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED"), NO_MEMORY], ids=str)
def test_a_model_that_fails_whatever_file_it_is_given_breaks_the_engine(engine_of: EngineOf, error: Exception) -> None:
    """Else the whole queue would be dead-lettered, job after job, by a worker that looks alive."""

    def script(rows: Sequence[Row]) -> list[Decoded]:
        raise error

    engine = engine_of(Model(script))
    engine.dispatcher.start()
    for _ in range(7):
        desk = engine.open()
        for _ in range(3):  # a file of its own may be strange all over
            assert type(ask(desk).exception(TIMEOUT_S)) is type(error)
    last = ask(engine.open())
    assert type(last.exception(TIMEOUT_S)) is type(error)
    with pytest.raises(WorkerBroken, match=r"out of memory|NOT_SUPPORTED"):
        ask(engine.open()).result(TIMEOUT_S)


def test_strange_files_with_good_ones_between_them_break_nothing(engine_of: EngineOf) -> None:
    def script(rows: Sequence[Row]) -> list[Decoded]:
        if rows[0].language == "de":
            raise ValueError("a strange row")
        return echo(rows)

    engine = engine_of(Model(script))
    engine.dispatcher.start()
    for number in range(20):
        language = "en" if number % 5 == 4 else "de"
        ask(engine.open(), a_row(language=language)).exception(TIMEOUT_S)
    assert ask(engine.open()).result(TIMEOUT_S) == a_decoded()
