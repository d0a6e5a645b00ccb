"""The engine's threads and queues, with plain functions in place of a model."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import pytest

from tests.speech import a_listener, a_window
from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled, RetryJob, WorkerBroken
from transcriber_worker.domain.job import Priority
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.dispatcher import Check, Dispatcher

TIMEOUT_S = 20.0
NOTHING = HeardWindow((), None, 0.0)


def hear_nothing(window: Window, check: Check) -> HeardWindow:
    return NOTHING


class Held:
    """A `Hear` function that stays in its first window until it is let go, and remembers what it was given."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.heard: list[int] = []

    def __call__(self, window: Window, check: Check) -> HeardWindow:
        self.heard.append(window.index)
        self.entered.set()
        assert self.let_go.wait(TIMEOUT_S)
        check()
        return NOTHING


@pytest.fixture
def one_worker() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(1)
    dispatcher.start()
    yield dispatcher
    dispatcher.close()


@pytest.fixture
def held(one_worker: Dispatcher) -> Iterator[Held]:
    """Keeps the only worker busy."""
    hear = Held()
    file = one_worker.open(a_listener("holder"), hear)
    file.submit(a_window())
    assert hear.entered.wait(TIMEOUT_S)
    yield hear
    hear.let_go.set()


def test_the_standing_of_a_file_decides_when_its_windows_are_heard(one_worker: Dispatcher, held: Held) -> None:
    order: list[str] = []

    def submit(name: str, priority: Priority, deadline: float | None = None) -> list[Future[HeardWindow]]:
        def hear(window: Window, check: Check) -> HeardWindow:
            order.append(f"{name}{window.index}")
            return NOTHING

        file = one_worker.open(a_listener(name, priority=priority, deadline=deadline), hear)
        return [file.submit(a_window(index)) for index in range(2)]

    futures = [
        *submit("low", Priority.LOW),
        *submit("a", Priority.NORMAL),
        *submit("b", Priority.NORMAL),
        *submit("due", Priority.NORMAL, deadline=5.0),
        *submit("high", Priority.HIGH),
    ]
    held.let_go.set()
    for future in futures:
        future.result(TIMEOUT_S)
    assert order == ["high0", "high1", "due0", "due1", "a0", "b0", "a1", "b1", "low0", "low1"]


def test_a_window_that_fails_leaves_the_rest_of_its_file_and_other_files_alone(one_worker: Dispatcher) -> None:
    def hear(window: Window, check: Check) -> HeardWindow:
        if window.index == 0:
            raise RetryJob("no memory")
        return NOTHING

    bad = one_worker.open(a_listener("bad"), hear)
    good = one_worker.open(a_listener("good"), hear_nothing)
    futures = [bad.submit(a_window(0)), good.submit(a_window(0)), bad.submit(a_window(1))]
    with pytest.raises(RetryJob):
        futures[0].result(TIMEOUT_S)
    assert futures[1].result(TIMEOUT_S) is NOTHING
    assert futures[2].result(TIMEOUT_S) is NOTHING


def test_a_broken_engine_fails_everything_and_takes_nothing_more(one_worker: Dispatcher, held: Held) -> None:
    """After a dead CUDA context every call would fail, some of them by killing the process."""

    def hear(window: Window, check: Check) -> HeardWindow:
        raise WorkerBroken("dead context")

    breaking = one_worker.open(a_listener("breaking", priority=Priority.HIGH), hear)
    innocent = one_worker.open(a_listener("innocent"), hear_nothing)
    futures = [breaking.submit(a_window()), innocent.submit(a_window())]
    held.let_go.set()
    futures.append(innocent.submit(a_window(1)))
    for future in futures:
        with pytest.raises(WorkerBroken, match="dead context"):
            future.result(TIMEOUT_S)
    with pytest.raises(WorkerBroken):
        innocent.submit(a_window(2)).result(TIMEOUT_S)
    with pytest.raises(WorkerBroken):
        one_worker.open(a_listener(), hear_nothing)


def test_cancelling_fails_what_is_queued_at_once_and_what_runs_at_its_next_step(one_worker: Dispatcher) -> None:
    token, hear = CancelToken(), Held()
    file = one_worker.open(a_listener(cancel=token), hear)
    running, queued = file.submit(a_window(0)), file.submit(a_window(1))
    assert hear.entered.wait(TIMEOUT_S)

    token.cancel(JobCancelled("by the user"))

    with pytest.raises(JobCancelled):
        queued.result(timeout=0)  # while the first window is still being heard
    hear.let_go.set()
    with pytest.raises(JobCancelled):
        running.result(TIMEOUT_S)
    with pytest.raises(JobCancelled):
        file.submit(a_window(2)).result(timeout=0)
    assert hear.heard == [0]


def test_leaving_a_file_cancels_what_is_queued_and_stops_what_runs(one_worker: Dispatcher) -> None:
    hear = Held()
    with one_worker.open(a_listener(), hear) as file:
        running, queued = file.submit(a_window(0)), file.submit(a_window(1))
        assert hear.entered.wait(TIMEOUT_S)
    with pytest.raises(CancelledError):
        queued.result(timeout=0)
    hear.let_go.set()
    with pytest.raises(HandBack):
        running.result(TIMEOUT_S)
    with pytest.raises(CancelledError):
        file.submit(a_window(2)).result(timeout=0)


def test_a_window_that_was_cancelled_while_queued_is_not_heard(one_worker: Dispatcher, held: Held) -> None:
    heard: list[int] = []

    def hear(window: Window, check: Check) -> HeardWindow:
        heard.append(window.index)
        return NOTHING

    file = one_worker.open(a_listener(), hear)
    first, second = file.submit(a_window(0)), file.submit(a_window(1))
    assert first.cancel()
    held.let_go.set()
    second.result(TIMEOUT_S)
    assert heard == [1]


def test_closing_hands_back_what_is_queued_and_waits_for_what_runs() -> None:
    dispatcher, hear = Dispatcher(1), Held()
    dispatcher.start()
    file = dispatcher.open(a_listener(), hear)
    running, queued = file.submit(a_window(0)), file.submit(a_window(1))
    assert hear.entered.wait(TIMEOUT_S)
    closing = threading.Thread(target=dispatcher.close)
    closing.start()
    with pytest.raises(HandBack):
        queued.result(TIMEOUT_S)
    assert closing.is_alive()
    hear.let_go.set()
    closing.join(TIMEOUT_S)
    assert not closing.is_alive()
    with pytest.raises(HandBack):
        running.result(timeout=0)
    dispatcher.close()


def test_a_callback_may_come_back_to_the_engine(one_worker: Dispatcher) -> None:
    """The pipeline may submit the next window from the callback of the one before."""
    file = one_worker.open(a_listener(), hear_nothing)
    last: Future[HeardWindow] = Future()

    def again(done: Future[HeardWindow]) -> None:
        file.submit(a_window(1)).add_done_callback(lambda done: last.set_result(done.result()))

    file.submit(a_window(0)).add_done_callback(again)
    assert last.result(TIMEOUT_S) is NOTHING
