"""What was noted is done in its order, by one thread at a time, and nothing is left lying."""

import threading

import pytest

from transcriber_worker.inference.batched.errands import Errands

TIMEOUT_S = 20.0


def test_an_errand_may_note_others_and_ask_to_run_them_itself() -> None:
    """They run after it, not inside it."""
    errands, done = Errands(), list[str]()

    def first() -> None:
        errands.note(lambda: done.append("third"))
        errands.run()
        done.append("first")

    errands.note(first)
    errands.note(lambda: done.append("second"))
    errands.run()
    assert done == ["first", "second", "third"]


def test_what_is_noted_while_another_thread_is_at_it_is_run_by_that_one() -> None:
    errands, done = Errands(), list[str]()
    inside, go_on = threading.Event(), threading.Event()

    def held() -> None:
        inside.set()
        assert go_on.wait(TIMEOUT_S)
        done.append(threading.current_thread().name)

    errands.note(held)
    runner = threading.Thread(target=errands.run, name="runner")
    runner.start()
    assert inside.wait(TIMEOUT_S)
    errands.note(lambda: done.append(threading.current_thread().name))
    errands.run()
    assert done == []
    go_on.set()
    runner.join(TIMEOUT_S)
    assert done == ["runner", "runner"]


def test_an_errand_that_fails_leaves_the_others_to_be_run() -> None:
    errands, done = Errands(), list[str]()

    def fails() -> None:
        raise ValueError("a bug")

    errands.note(fails)
    errands.note(lambda: done.append("second"))
    with pytest.raises(ValueError, match="a bug"):
        errands.run()
    errands.run()
    assert done == ["second"]


def test_many_threads_keep_the_order_of_each_and_lose_nothing() -> None:
    errands, done = Errands(), list[tuple[int, int]]()
    together = threading.Barrier(4)

    def note_many(thread: int) -> None:
        together.wait(TIMEOUT_S)
        for n in range(300):
            errands.note(lambda n=n: done.append((thread, n)))  # type: ignore[misc]
            errands.run()

    threads = [threading.Thread(target=note_many, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    for who in range(4):
        assert [n for thread_, n in done if thread_ == who] == list(range(300))
