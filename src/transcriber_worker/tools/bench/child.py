"""A process of a benchmark: it loads its model, says so, and from then on does what it is asked to. JSON lines in, JSON
lines out; the end of the input ends it."""

import json
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from transcriber_worker.tools.bench.contenders import Contender

_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^/\s'\"]+/)+")
"""From the root to the last name, which is kept. An address has something before its slashes."""

Send = Callable[[Mapping[str, Any]], None]


class Servant(Protocol):
    """What answers in a child process."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What it runs on."""
        ...

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


def serve(load: Callable[[], Servant], requests: Iterable[str], send: Send) -> None:
    """Answer each of `requests`; an error is an answer too."""
    try:
        servant = load()
    except Exception as error:
        send({"error": _named(error)})
        return
    try:
        send({"ready": dict(servant.facts)})
        for line in requests:
            asked = json.loads(line)
            try:
                send(servant.answer(asked))
            except Exception as error:
                send({"error": _named(error)})
    finally:
        servant.close()


class ContenderServant:
    """A contender, asked to transcribe files."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self.facts = contender.facts

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return _hear_all(self._contender, [Path(path) for path in asked["paths"]], asked["language"])

    def close(self) -> None:
        self._contender.close()


def _hear_all(contender: Contender, paths: list[Path], language: str | None) -> dict[str, Any]:
    before = dict(contender.counters())
    begun = time.perf_counter()

    def hear(path: Path) -> dict[str, Any]:
        heard = contender.hear(path, language)
        return {**asdict(heard), "done_s": time.perf_counter() - begun}

    with ThreadPoolExecutor(contender.at_once) as callers:
        heard = list(callers.map(hear, paths))
    wall_s = time.perf_counter() - begun
    counted = {name: value - before.get(name, 0.0) for name, value in contender.counters().items()}
    return {"wall_s": wall_s, "heard": heard, "counted": counted}


def _named(error: Exception) -> str:
    """As a report tells it, which names no folder of the machine it was made on; the log has it all."""
    traceback.print_exception(error)
    return _FOLDERS.sub("", f"{type(error).__name__}: {error}")
