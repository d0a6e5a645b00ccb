"""Budgets that jobs share."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack
from transcriber_worker.pipeline.admission import PASSING_SHARE, SMALL_SHARE, Budget, Ledger, Share

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
    while budget.waiting < 1:
        pass
    small_thread = in_thread(small)
    while budget.waiting < 2:
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


def holding(ledger: Ledger, *amounts: float) -> list[Share]:
    """What each asks for in turn, whether it gets it or not."""
    shares = [ledger.ask(amount) for amount in amounts]
    for share in shares:
        ledger.admit(share)
    return shares


def test_a_small_one_goes_past_a_large_one_that_waits_for_another_large_one() -> None:
    ledger = Ledger(1000)
    first, second, clip = holding(ledger, 700, 700, 10)

    assert ledger.held == [first, clip]
    assert ledger.waiting == [second]


def test_only_small_ones_go_past() -> None:
    ledger = Ledger(1000)
    first, *others = holding(ledger, 700, 700, 1000 * SMALL_SHARE + 1)

    assert ledger.held == [first]
    assert ledger.waiting == others


def test_a_small_one_that_does_not_fit_waits() -> None:
    ledger = Ledger(1000)
    first, second, clip = holding(ledger, 995, 700, 6)

    assert ledger.held == [first]
    assert ledger.waiting == [second, clip]


def test_those_that_went_past_hold_a_bounded_part() -> None:
    ledger = Ledger(1000)
    clips = holding(ledger, 700, 700, *[10] * 20)[2:]

    assert sum(clip in ledger.held for clip in clips) == round(1000 * PASSING_SHARE / 10)


def test_nothing_goes_past_a_large_one_that_waits_only_for_small_ones() -> None:
    ledger = Ledger(1000)
    first, second, clip = holding(ledger, 700, 995, 10)
    ledger.give_back(first)

    assert not ledger.admit(ledger.ask(10)), "it would put off the large one"
    assert not ledger.admit(second)
    ledger.give_back(clip)
    assert ledger.admit(second)


def test_one_over_the_whole_limit_is_not_put_off_either() -> None:
    ledger = Ledger(1000)
    first, second, clip = holding(ledger, 700, 5000, 10)
    ledger.give_back(first)

    assert not ledger.admit(ledger.ask(10))
    ledger.give_back(clip)
    assert ledger.admit(second)


def test_who_was_small_and_waited_for_its_turn_did_not_go_past_anybody() -> None:
    """So that the next large one waits for it as for any other."""
    ledger = Ledger(1000)
    first, clip = holding(ledger, 1000, 10)
    assert not ledger.admit(clip)
    ledger.give_back(first)

    assert ledger.admit(clip)
    assert not clip.passed


amounts = st.one_of(st.just(0.0), st.floats(0.1, 10), st.floats(0.1, 150), st.floats(900, 2500))
steps = st.lists(st.tuples(st.sampled_from(["ask", "ask", "give back", "withdraw"]), amounts, st.integers(0, 50)))


def after(steps: list[tuple[str, float, int]]) -> Ledger:
    """A ledger of 1000 after all that; what was granted at any time kept to the bounds."""
    ledger = Ledger(1000)
    for what, amount, which in steps:
        if what == "ask":
            ledger.ask(amount)
        elif what == "give back" and ledger.held:
            ledger.give_back(ledger.held[which % len(ledger.held)])
        elif what == "withdraw" and ledger.waiting:
            ledger.withdraw(ledger.waiting[which % len(ledger.waiting)])
        settle(ledger)
        assert ledger.used <= 1000 or len(ledger.held) == 1
        assert sum(share.amount for share in ledger.held if share.passed) <= 1000 * PASSING_SHARE + 1e-6
    return ledger


def settle(ledger: Ledger) -> None:
    """Everybody who waits looks whether its turn has come, until nobody's has."""
    while any(ledger.admit(share) for share in list(ledger.waiting)):
        pass


@given(steps)
def test_whatever_happens_the_limit_is_kept_or_held_by_one(steps: list[tuple[str, float, int]]) -> None:
    after(steps)


@given(steps, st.floats(0, 10), st.integers(1, 12))
def test_no_stream_of_small_ones_starves_who_is_first(
    steps: list[tuple[str, float, int]], small: float, at_a_time: int
) -> None:
    """Whoever holds a part gives it back one day, the oldest first, and small ones come all the time: the first in the
    row has its turn once those that held when it came have given back, and those that went past it meanwhile."""
    ledger = after(steps)
    if not ledger.waiting:
        return
    first = ledger.waiting[0]
    for _ in range(len(ledger.held)):
        ledger.give_back(ledger.held[0])
        for _ in range(at_a_time):
            ledger.ask(small)
        settle(ledger)
        if first in ledger.held:
            return
    assert all(share.passed for share in ledger.held)
    left = len(ledger.held)
    for _ in range(left):
        assert first in ledger.waiting
        ledger.give_back(ledger.held[0])
        ledger.ask(small)
        settle(ledger)
        if first in ledger.held:
            return
        assert len(ledger.held) < left, "another one went past"
        left = len(ledger.held)
    raise AssertionError("it still waits, though nobody holds a part")
