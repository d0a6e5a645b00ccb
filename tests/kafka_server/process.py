"""A server process that does not outlive whoever started it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

# However the starter ends, the guard's stdin ends with it.
_GUARD = '"$@" </dev/null & echo $!; exec >/dev/null; cat; kill -9 $!; wait $!'


class GuardedProcess:
    """A command that can be started and killed again and again; what it says is appended to `log_file`."""

    def __init__(self, command: Sequence[str], log_file: Path) -> None:
        self._command = command
        self._log = log_file
        self._guard: subprocess.Popen[str] | None = None
        self._pid = 0

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "kafka-guard", *self._command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline())

    def kill(self) -> None:
        """By SIGKILL; gone when this returns."""
        if self._guard is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(self._pid, signal.SIGKILL)
        self._guard.communicate()
        self._guard = None

    remove = kill

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
