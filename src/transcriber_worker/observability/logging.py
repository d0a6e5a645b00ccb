"""Logs: one JSON object a line on stderr, our own events and the libraries' warnings through one redacting pipeline."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from transcriber_worker.domain.clock import Clock, SystemClock
from transcriber_worker.observability import events
from transcriber_worker.observability.events import CONTEXT, ENVELOPE, LogEvent
from transcriber_worker.observability.redaction import REDACTOR, Redactor
from transcriber_worker.settings import ObservabilitySettings

LOGGER_NAME = "transcriber_worker"
_ALLOWED_ALWAYS = frozenset(CONTEXT)
_logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(LOGGER_NAME),
    processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
    context_class=dict,
)


def emit(event: LogEvent, /, *, exc_info: BaseException | None = None, **fields: object) -> None:
    """Log `event` at its declared level, with the traceback of `exc_info`; never raises.

    A field the event does not declare is left out and named in `undeclared_fields`: what was not thought of may be what
    must not be logged. Fields that are None are left out; `error` is the class of `exc_info` unless given."""
    if exc_info is not None and "error" in event.fields:
        fields.setdefault("error", type(exc_info).__name__)
    known = _ALLOWED_ALWAYS.union(event.fields)
    entry = {key: value for key, value in fields.items() if key in known and value is not None}
    undeclared = sorted(fields.keys() - known)
    if undeclared:
        entry["undeclared_fields"] = undeclared
    if exc_info is not None:
        entry["exc_info"] = exc_info
    getattr(_logger, event.level)(event.name, **entry)


@contextmanager
def job_context(*, job_id: str, request_id: str, attempt: int, trace_id: str | None = None) -> Iterator[None]:
    """Stamp every line that this thread logs meanwhile, the libraries' too, with the job it works on."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            structlog.contextvars.bound_contextvars(job_id=job_id, request_id=request_id, attempt=attempt)
        )
        if trace_id is not None:
            stack.enter_context(structlog.contextvars.bound_contextvars(trace_id=trace_id))
        yield


def configure(
    settings: ObservabilitySettings,
    *,
    worker_id: str,
    clock: Clock | None = None,
    redactor: Redactor = REDACTOR,
    stream: TextIO | None = None,
) -> None:
    """Send our events at `settings.log_level` and everybody else's warnings to `stream` (default: stderr). May be
    called again; the last call wins."""
    target = stream if stream is not None else sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and target.isatty())
    handler = _RedactedHandler(target)
    handler.setFormatter(_formatter(worker_id, clock or SystemClock(), redactor, console, target.isatty()))
    handler.addFilter(_ours_or_warning)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _RedactedHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(LOGGER_NAME).setLevel(settings.log_level.upper())
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's signature
    route_vendor_loggers()


def route_vendor_loggers() -> None:
    """Take away the handlers that libraries gave their own loggers, so that their lines pass our redaction. Call it
    again after importing one late."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            for handler in [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]:
                logger.removeHandler(handler)
            logger.propagate = True


def log_uncaught_errors() -> None:
    """Log what ends a thread or the process through the same pipeline; Python would print it unredacted."""

    def process_hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            emit(events.UNEXPECTED_ERROR, exc_info=error)

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            emit(events.UNEXPECTED_ERROR, exc_info=args.exc_value)

    sys.excepthook = process_hook
    threading.excepthook = thread_hook


class _RedactedHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """The standard handler would print the record's arguments, unredacted."""
        error = type(sys.exception()).__name__
        with contextlib.suppress(Exception):
            lost = logging.LogRecord(LOGGER_NAME, logging.ERROR, "", 0, "", None, None)
            lost.msg = {"event": events.LOG_LOST.name, "logger": record.name, "error": error}
            vars(lost).update(_logger=None, _name="error")
            self.stream.write(self.format(lost) + self.terminator)
            self.flush()


def _ours_or_warning(record: logging.LogRecord) -> bool:
    return record.name == LOGGER_NAME or record.levelno >= logging.WARNING


def _formatter(worker_id: str, clock: Clock, redactor: Redactor, console: bool, colors: bool) -> ProcessorFormatter:
    def envelope(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        record: logging.LogRecord = entry.pop("_record")
        if not entry.pop("_from_structlog"):
            entry = _as_vendor_message(record.name, entry)
        entry["timestamp"] = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
        entry["level"] = record.levelname.lower()
        entry["worker_id"] = worker_id
        return entry

    def redact(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        first = [key for key in (*ENVELOPE, *CONTEXT) if key in entry]
        rest = [key for key in entry if key not in first]
        return redactor.fields({key: entry[key] for key in (*first, *rest)})

    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    # Tracebacks become text before redaction, without local variables.
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        envelope,
        structlog.processors.format_exc_info,
        redact,
        render,
    ]
    return ProcessorFormatter(processors=chain)


def _as_vendor_message(logger_name: str, entry: EventDict) -> EventDict:
    message = entry.pop("event")
    return {**entry, "event": events.VENDOR_MESSAGE.name, "logger": logger_name, "message": message}
