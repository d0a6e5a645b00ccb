"""Log lines as they leave the process: whole, in one shape, redacted, whoever wrote them."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability import events
from transcriber_worker.observability.events import ALL_EVENTS, LogEvent
from transcriber_worker.observability.labels import Stage
from transcriber_worker.observability.logging import (
    LOGGER_NAME,
    configure,
    emit,
    job_context,
    log_uncaught_errors,
    route_vendor_loggers,
)
from transcriber_worker.observability.redaction import Redactor
from transcriber_worker.settings import ObservabilitySettings

CANARY = "cAnArY-0123456789abcdef"
NOW = 1_750_000_000.5
ENVELOPE = {"timestamp": "2025-06-15T15:06:40.500+00:00", "worker_id": "pod-1"}


class Lines(io.StringIO):
    """What was logged, line by line."""

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def only(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Configured = Callable[..., io.StringIO]


@pytest.fixture
def configured() -> Iterator[Configured]:
    """Configures logging to a stream, with the canary registered, and undoes it."""
    root, ours = logging.getLogger(), logging.getLogger(LOGGER_NAME)
    before = (list(root.handlers), root.level, ours.level)
    hooks = (sys.excepthook, threading.excepthook)
    redactor = Redactor()
    redactor.register_secret(CANARY)

    def begin(stream: io.StringIO | None = None, **settings: Any) -> io.StringIO:
        target = stream if stream is not None else Lines()
        observability = ObservabilitySettings(**settings)
        configure(observability, worker_id="pod-1", clock=ManualClock(NOW), redactor=redactor, stream=target)
        return target

    yield begin
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks


@pytest.fixture
def lines(configured: Configured) -> Lines:
    stream = configured()
    assert isinstance(stream, Lines)
    return stream


def test_an_event_is_one_json_line_with_its_envelope_first(lines: Lines) -> None:
    emit(events.SCRATCH_CLEANED, path="scratch", files=3)

    assert lines.only() == {
        **ENVELOPE,
        "level": "info",
        "event": "scratch.cleaned",
        "path": "scratch",
        "files": 3,
    }
    assert list(lines.only())[:4] == ["timestamp", "level", "event", "worker_id"]
    assert lines.getvalue().endswith("}\n")


def test_the_line_of_a_finished_job_is_whole(lines: Lines) -> None:
    stages: dict[str, Any] = {f"{stage}_s": 0.25 for stage in Stage}
    told: dict[str, Any] = {
        "outcome": "completed",
        "queue_wait_s": 1.23456,
        "audio_s": 61.5,
        "warnings": ("no_speech",),
        "language": "pt",
    }

    with job_context(job_id="ab12", request_id="call-4711", attempt=2, trace_id="4bf9"):
        emit(events.JOB_FINISHED, **told, **stages)

    assert lines.only() == {
        **ENVELOPE,
        **stages,
        "level": "info",
        "event": "job.finished",
        "job_id": "ab12",
        "request_id": "call-4711",
        "attempt": 2,
        "trace_id": "4bf9",
        "outcome": "completed",
        "queue_wait_s": 1.2346,
        "audio_s": 61.5,
        "warnings": ["no_speech"],
        "language": "pt",
    }


@pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: event.name)
def test_every_event_comes_at_its_declared_level(configured: Configured, event: LogEvent) -> None:
    stream = configured(log_level="debug")
    assert isinstance(stream, Lines)

    emit(event)

    assert (stream.only()["event"], stream.only()["level"]) == (event.name, event.level)


def test_events_below_the_level_stay_out(configured: Configured) -> None:
    stream = configured(log_level="warning")

    emit(events.WORKER_READY, max_jobs_in_flight=4)
    emit(events.JOB_IGNORED, reason="own_output")

    assert stream.getvalue() == ""


def test_a_field_the_event_does_not_declare_is_left_out_and_named(lines: Lines) -> None:
    emit(events.JOB_CANCELLED, stage="download", transcript="what was said")

    assert "what was said" not in lines.getvalue()
    assert lines.only()["undeclared_fields"] == ["transcript"]
    assert lines.only()["stage"] == "download"


def test_a_field_without_a_value_is_left_out(lines: Lines) -> None:
    emit(events.JOB_PROGRESS, percent=3.5, remaining_s=None)

    assert "remaining_s" not in lines.only()
    assert "undeclared_fields" not in lines.only()


def test_the_context_of_a_job_ends_with_its_block(lines: Lines) -> None:
    with job_context(job_id="ab12", request_id="call", attempt=1):
        emit(events.JOB_CANCELLED)
    emit(events.WORKER_RESUMED)

    inside, outside = lines.all()
    assert inside["job_id"] == "ab12"
    assert "trace_id" not in inside
    assert {"job_id", "request_id", "attempt"}.isdisjoint(outside)


def test_the_context_of_a_job_is_its_own_threads(lines: Lines) -> None:
    with job_context(job_id="ab12", request_id="call", attempt=1):
        other = threading.Thread(target=lambda: emit(events.WORKER_RESUMED))
        other.start()
        other.join()

    assert "job_id" not in lines.only()


def test_a_librarys_warning_is_an_event_with_the_jobs_context(lines: Lines) -> None:
    with job_context(job_id="ab12", request_id="call", attempt=1):
        logging.getLogger("vendor.http").warning("retrying %s", "soon")

    assert lines.only() == {
        **ENVELOPE,
        "level": "warning",
        "event": "vendor.message",
        "job_id": "ab12",
        "request_id": "call",
        "attempt": 1,
        "logger": "vendor.http",
        "message": "retrying soon",
    }


def test_a_librarys_chatter_stays_out_even_where_it_set_its_own_level(lines: Lines) -> None:
    chatty = logging.getLogger("vendor.chatty")
    chatty.setLevel(logging.DEBUG)

    chatty.info("hello")

    assert lines.getvalue() == ""


def test_a_librarys_own_handler_cannot_bypass_the_pipeline(lines: Lines) -> None:
    stream = io.StringIO()
    vendor = logging.getLogger("vendor.loud")
    vendor.addHandler(logging.StreamHandler(stream))
    vendor.propagate = False

    route_vendor_loggers()
    vendor.error("key %s", CANARY)

    assert stream.getvalue() == ""
    assert lines.only()["message"] == "key ***"


def test_python_warnings_are_events(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old {CANARY}", DeprecationWarning, stacklevel=1)

    assert (lines.only()["event"], lines.only()["logger"]) == ("vendor.message", "py.warnings")
    assert "DeprecationWarning: old ***" in lines.only()["message"]


def test_a_secret_is_masked_in_fields_tracebacks_causes_and_notes(lines: Lines) -> None:
    def connect(password: str) -> None:
        try:
            raise ConnectionError(f"bad login {password}")
        except ConnectionError as error:
            error.add_note(f"tried {password}")
            raise RuntimeError(f"no luck with https://host.example/p/{password}") from error

    try:
        connect(CANARY)
    except RuntimeError as error:
        emit(events.UNEXPECTED_ERROR, stage="download", exc_info=error)
        emit(events.HEARTBEAT_FAILED, error="E", message=f"{error!r} and {{'token': '{CANARY}'}}")
        logging.getLogger("vendor").exception("failed for %s", {"deep": [CANARY]})

    assert CANARY not in lines.getvalue()
    unexpected, heartbeat, vendor = lines.all()
    assert (unexpected["error"], unexpected["stage"]) == ("RuntimeError", "download")
    for line in (unexpected, vendor):
        assert "ConnectionError: bad login ***" in line["exception"]
        assert "tried ***" in line["exception"]
        assert "RuntimeError: no luck with https://host.example/…" in line["exception"]
        assert 'File "' in line["exception"]
    assert "***" in heartbeat["message"]
    assert vendor["message"] == "failed for {'deep': ['***']}"


def test_a_traceback_shows_no_local_variables(lines: Lines, configured: Configured) -> None:
    console = configured(Terminal(), log_format="console")
    spoken = "a heard " + "sentence"

    def fail(heard: str) -> None:
        raise ValueError(len(heard))

    try:
        fail(spoken)
    except ValueError as error:
        emit(events.UNEXPECTED_ERROR, exc_info=error)

    assert "ValueError: 16" in console.getvalue()
    assert spoken not in console.getvalue()


def test_a_secret_is_masked_on_the_console_too(configured: Configured) -> None:
    console = configured(Terminal())

    emit(events.HEARTBEAT_FAILED, message=f"{CANARY} \x1b[2J")

    assert "heartbeat.failed" in console.getvalue()
    assert CANARY not in console.getvalue()
    assert "\x1b[2J" not in console.getvalue()


@pytest.mark.parametrize(
    ("log_format", "terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_the_format_follows_the_setting_and_the_terminal(
    configured: Configured, log_format: str, terminal: bool, is_json: bool
) -> None:
    stream = configured(Terminal() if terminal else Lines(), log_format=log_format)

    emit(events.WORKER_READY)

    assert stream.getvalue().startswith("{") == is_json


def test_colours_are_for_terminals_only(configured: Configured) -> None:
    stream = configured(Lines(), log_format="console")

    emit(events.WORKER_READY, max_jobs_in_flight=4)

    assert "\x1b" not in stream.getvalue()


def test_a_message_cannot_forge_a_line(lines: Lines) -> None:
    logging.getLogger("vendor").warning("x\n%s", json.dumps({"event": "job.finished"}))

    assert lines.only()["event"] == "vendor.message"


def test_a_line_that_cannot_be_made_is_told_of_without_its_content(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if getattr(handler, "stream", None) is lines]

    logging.getLogger("vendor").warning("%d", CANARY)

    assert lines.only() == {
        **ENVELOPE,
        "level": "error",
        "event": "log.lost",
        "logger": "vendor",
        "error": "TypeError",
    }
    assert capsys.readouterr().err == ""


def test_a_closed_stream_breaks_nothing(lines: Lines) -> None:
    lines.close()

    emit(events.WORKER_READY)

    assert logging.getLogger().handlers


def test_the_last_configuration_wins(configured: Configured) -> None:
    first, second = configured(), configured()

    emit(events.WORKER_READY)

    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_what_ends_a_thread_is_an_event_and_not_a_bare_traceback(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    log_uncaught_errors()

    def die() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()

    assert (lines.only()["event"], lines.only()["error"]) == ("error.unexpected", "ValueError")
    assert "ValueError: ***" in lines.only()["exception"]
    assert capsys.readouterr().err == ""


def test_what_ends_the_process_is_an_event(lines: Lines) -> None:
    log_uncaught_errors()
    error = ValueError(CANARY)

    sys.excepthook(ValueError, error, None)

    assert (lines.only()["event"], lines.only()["error"]) == ("error.unexpected", "ValueError")
    assert CANARY not in lines.getvalue()


def test_an_interrupt_is_left_to_python(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    log_uncaught_errors()

    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert lines.getvalue() == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err
