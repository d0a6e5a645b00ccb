"""A contender in a process of its own, from the outside: started, asked, looked at, ended."""

import json
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transcriber_worker.observability.process_tree import Usage, usage_of
from transcriber_worker.tools.bench.contenders import Heard, Spec

_STOP_S = 30.0
_SILENT_S = 3600.0
"""A GPU whose driver hangs does not come back. Kernels that are compiled when they are first used take minutes."""
_SILENT_OVER_FILES_S = 12 * 3600.0
"""Its answer comes when all files are done, of which there may be hours, heard by a CPU."""


class ContenderFailed(Exception):
    """It could not do what it was asked; the message says what it said of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender did, as it tells itself."""

    wall_s: float
    heard: tuple[Heard, ...]
    """File by file, in the order they were given."""
    done_s: tuple[float, ...]
    """When each of them was done, seconds since all were handed over."""
    counted: Mapping[str, float]


class Participant(Protocol):
    """A contender that is loaded and waits to be asked."""

    @property
    def spec(self) -> Spec: ...

    @property
    def facts(self) -> Mapping[str, str]: ...

    def hear(self, paths: Sequence[Path], language: str | None) -> Answer:
        """Transcribe all of them; raises `ContenderFailed`."""
        ...

    def usage(self) -> Usage:
        """What it and its children use; CPU seconds since it was started."""
        ...

    def close(self) -> None: ...


class RemoteChild:
    """A child process that is asked over a pipe, loaded once this is made.

    `name`: for people; `command`: starts the child, which speaks as child.py does; `log`: what its stderr is appended
    to; `silent_s`: how long to wait for an answer before it is ended. Raises `ContenderFailed`.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, silent_s: float = _SILENT_S) -> None:
        self._name = name
        self._log = log
        self.silent_s = silent_s
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8"
            )
        try:
            self.facts: Mapping[str, str] = self._receive()["ready"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers; raises `ContenderFailed`."""
        self._send(request)
        return self._receive()

    def usage(self) -> Usage:
        return usage_of(self._child.pid)

    def close(self) -> None:
        """End it: the end of its input is its sign."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                _quietly(pipe.close)
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None  # noqa: S101 - Popen was told so
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _receive(self) -> dict[str, Any]:
        assert self._child.stdout is not None  # noqa: S101 - Popen was told so
        if not select.select([self._child.stdout], [], [], self.silent_s)[0]:
            self._child.kill()
            raise ContenderFailed(f"{self._name}: no answer for {self.silent_s:.0f} s; see {self._log.name}")
        line = self._child.stdout.readline()
        if not line.endswith("\n"):
            raise self._gone()
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise ContenderFailed(f"{self._name}: {told['error']}")
        return told

    def _gone(self) -> ContenderFailed:
        return ContenderFailed(f"{self._name}: its process ended; see {self._log.name}")


class RemoteContender(RemoteChild):
    """A `Participant` that is a child process."""

    def __init__(self, spec: Spec, command: Sequence[str], log: Path, silent_s: float = _SILENT_OVER_FILES_S) -> None:
        self.spec = spec
        super().__init__(spec.name, command, log, silent_s)

    def hear(self, paths: Sequence[Path], language: str | None) -> Answer:
        told = self.ask({"paths": [str(path) for path in paths], "language": language})
        heard = told["heard"]
        done_s = tuple(float(one.pop("done_s")) for one in heard)
        return Answer(float(told["wall_s"]), tuple(Heard(**one) for one in heard), done_s, told["counted"])


def _quietly(close: Callable[[], None]) -> None:
    """A pipe to a process that is gone has something unsent, which nobody misses."""
    try:
        close()
    except OSError:
        return
