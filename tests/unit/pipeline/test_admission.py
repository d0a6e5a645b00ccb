"""Budgets that jobs share."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack
from transcriber_worker.pipeline.admission import Budget

DEADLINE_S = 20.0


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_what_fits_goes_on_and_is_given_back() -> None:
    budget = Budget(10)

    with budget.acquire(6, CancelToken()), budget.acquire(4, CancelToken()):
        assert budget.used == 10

    assert budget.used == 0


def test_who_is_over_the_whole_budget_goes_on_alone() -> None:
    budget = Budget(10)

    with budget.acquire(1000, CancelToken()):
        assert budget.used == 1000


def test_what_does_not_fit_waits_until_it_does() -> None:
    budget = Budget(10)
    admitted = threading.Event()

    def second() -> None:
        with budget.acquire(6, CancelToken()):
            admitted.set()

    with budget.acquire(6, CancelToken()):
        thread = in_thread(second)
        assert not admitted.is_set()
    thread.join(DEADLINE_S)

    assert admitted.is_set()


def test_a_large_job_is_not_starved_by_small_ones_behind_it() -> None:
    budget, order = Budget(10), []
    first = budget.acquire(6, CancelToken())
    waiting = threading.Event()

    def large() -> None:
        waiting.set()
        with budget.acquire(9, CancelToken()):
            order.append("large")

    def small() -> None:
        with budget.acquire(1, CancelToken()):
            order.append("small")

    large_thread = in_thread(large)
    waiting.wait(DEADLINE_S)
    while len(budget.waiting) < 1:
        pass
    small_thread = in_thread(small)
    while len(budget.waiting) < 2:
        pass
    with first:
        pass
    large_thread.join(DEADLINE_S)
    small_thread.join(DEADLINE_S)

    assert order == ["large", "small"]


def test_a_stopped_job_stops_waiting() -> None:
    budget, cancel = Budget(10), CancelToken()
    errors: list[Exception] = []

    def second() -> None:
        try:
            budget.acquire(6, cancel)
        except HandBack as error:
            errors.append(error)

    with budget.acquire(6, CancelToken()):
        thread = in_thread(second)
        cancel.cancel(HandBack())
        thread.join(DEADLINE_S)

    assert len(errors) == 1
    assert budget.used == 0


@given(st.lists(st.floats(0, 30), min_size=1, max_size=8))
def test_whatever_is_asked_the_budget_is_kept_or_held_by_one(amounts: list[float]) -> None:
    budget = Budget(10)
    over: list[float] = []
    lock = threading.Lock()

    def one(amount: float) -> None:
        with budget.acquire(amount, CancelToken()), lock:
            if budget.used > 10 and budget.holders > 1:
                over.append(budget.used)

    threads = [in_thread(lambda amount=amount: one(amount)) for amount in amounts]  # type: ignore[misc]
    for thread in threads:
        thread.join(DEADLINE_S)

    assert over == []
    assert budget.used == pytest.approx(0.0)
