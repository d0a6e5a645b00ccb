"""A job is stopped once, for one reason, and everybody who works for it hears of it."""

import threading

import pytest

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled, LeaseLost


def test_a_job_that_nobody_stopped_goes_on() -> None:
    token = CancelToken()

    token.raise_if_cancelled()

    assert not token.cancelled


def test_the_first_reason_wins() -> None:
    token = CancelToken()

    token.cancel(LeaseLost("first"))
    token.cancel(JobCancelled("second"))

    assert token.cancelled
    with pytest.raises(LeaseLost, match="first"):
        token.raise_if_cancelled()


def test_callbacks_run_once() -> None:
    token, called = CancelToken(), []
    token.on_cancel(lambda: called.append("a"))
    token.on_cancel(lambda: called.append("b"))
    assert called == []

    token.cancel(HandBack())
    token.cancel(HandBack())

    assert called == ["a", "b"]


def test_a_callback_that_comes_late_runs_at_once() -> None:
    token, called = CancelToken(), []
    token.cancel(HandBack())

    token.on_cancel(lambda: called.append("late"))

    assert called == ["late"]


def test_a_callback_may_look_at_the_token() -> None:
    """It runs without the token's lock, and sees it cancelled."""
    token, seen = CancelToken(), []
    token.on_cancel(lambda: seen.append(token.cancelled))
    token.on_cancel(lambda: token.on_cancel(lambda: seen.append(token.cancelled)))

    token.cancel(HandBack())

    assert seen == [True, True]


def test_racing_cancels_and_callbacks_miss_none() -> None:
    for _ in range(50):
        token, start = CancelToken(), threading.Barrier(4)
        called: list[int] = []

        def cancel(token: CancelToken = token, start: threading.Barrier = start) -> None:
            start.wait()
            token.cancel(HandBack())

        def listen(token: CancelToken = token, start: threading.Barrier = start, called: list[int] = called) -> None:
            start.wait()
            token.on_cancel(lambda: called.append(1))

        threads = [threading.Thread(target=target) for target in (cancel, cancel, listen, listen)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert called == [1, 1]
