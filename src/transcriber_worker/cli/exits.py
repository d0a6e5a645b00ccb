"""What each exit code means; documented in docs/operations.md."""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    """Done. For `run`: drained and stopped as told."""
    ERROR = 1
    """An error nobody expected: a bug, or a job record that can't be read."""
    USAGE = 2
    """The command line is wrong."""
    CONFIG = 3
    """The configuration is wrong; every problem was printed."""
    JOB_FAILED = 4
    """A job that was waited for ended without a transcript, or a request was refused."""
    NOT_FOUND = 5
    """There is no such job, letter or message, or it is no longer in a state to be changed."""
    UNHEALTHY = 6
    """`healthcheck`: the worker does not answer or says it is not well."""
    UNAVAILABLE = 7
    """Our own broker or store can't be reached."""
    WORKER_BROKEN = 70
    """The worker can't be trusted any more; nothing is lost, restart it."""
    INTERRUPTED = 130
    """Ctrl-C; what was submitted goes on."""
