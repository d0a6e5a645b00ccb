"""What the end of a reader process means for its job."""

import signal

import pytest

from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.media.process import child_environment, death
from transcriber_worker.settings import MediaSettings


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGXCPU])
def test_a_crash_or_a_limit_is_the_files_fault(number: signal.Signals) -> None:
    error = death(-number, "", MediaSettings(), starting=False)
    assert isinstance(error, RejectJob)
    assert error.reason is Reason.MEDIA_LIMIT_EXCEEDED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_kill_from_outside_is_nobodys_fault(number: signal.Signals) -> None:
    assert isinstance(death(-number, "", MediaSettings(), starting=False), RetryJob)


def test_an_error_of_our_own_is_tried_again_with_its_last_words() -> None:
    error = death(1, "ValueError: no", MediaSettings(), starting=False)
    assert isinstance(error, RetryJob)
    assert "ValueError: no" in error.message


def test_where_no_child_starts_the_worker_is_broken() -> None:
    assert isinstance(death(1, "ModuleNotFoundError", MediaSettings(), starting=True), WorkerBroken)


def test_a_child_killed_while_starting_is_nobodys_fault() -> None:
    assert isinstance(death(-signal.SIGKILL, "", MediaSettings(), starting=True), RetryJob)


def test_no_variable_of_the_worker_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__STORAGE__TOKEN", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("HOME", "/canary")
    assert not any("canary" in value for value in child_environment().values())
