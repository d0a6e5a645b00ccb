"""Errors named by what the worker does next. Anything that is none of these is a bug: logged with its traceback,
counted, and retried within the attempt bound."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a job ended in a dead letter; the public `reason` code of dead letters and failure events."""

    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_VERSION = "unsupported_version"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    SOURCE_NOT_FOUND = "source_not_found"
    SOURCE_TOO_LARGE = "source_too_large"
    OUTPUT_NOT_ALLOWED = "output_not_allowed"
    MEDIA_UNREADABLE = "media_unreadable"
    MEDIA_NOT_ALLOWED = "media_not_allowed"
    MEDIA_NO_AUDIO = "media_no_audio"
    MEDIA_TOO_LONG = "media_too_long"
    MEDIA_LIMIT_EXCEEDED = "media_limit_exceeded"
    PROMPT_TOO_LONG = "prompt_too_long"
    LANGUAGE_NOT_SUPPORTED = "language_not_supported"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_MANY_CRASHES = "too_many_crashes"


class RejectJob(Exception):
    """Dead-letter the job at once: trying again cannot help."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class RetryJob(Exception):
    """Give the job back and try again after `delay_s` (None: the worker's own backoff), within the attempt bound;
    not `charged`: the job is not to blame, and this try counts for nothing."""

    def __init__(self, message: str, delay_s: float | None = None, *, charged: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.delay_s = delay_s
        self.charged = charged


class IgnoreEvent(Exception):
    """Settle and count: there is nothing to transcribe here (delete events, folder markers, our own outputs,
    superseded etags). `reason` is a short code and a metric label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LeaseLost(Exception):
    """Somebody else has the job now: drop it silently and write nothing more."""


class JobCancelled(Exception):
    """A user cancelled the job: settle it without a transcript."""


class HandBack(Exception):
    """The worker is stopping: give the job back untouched, so that another worker takes it at once."""


class PauseReason(StrEnum):
    """What of our own is down."""

    BROKER = "broker"
    STORAGE = "storage"
    CREDENTIALS = "credentials"
    SCRATCH = "scratch"


class EnvironmentDown(Exception):
    """Our own broker, store or scratch disk is down: pause intake, charge no job, try again by itself."""

    def __init__(self, message: str, part: PauseReason = PauseReason.STORAGE) -> None:
        super().__init__(message)
        self.part = part


class WorkerBroken(Exception):
    """The process can't be trusted any more: exit non-zero with nothing settled and let a restart resume."""
