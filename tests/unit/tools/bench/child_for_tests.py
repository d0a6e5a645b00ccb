"""A contender's process without a model, for tests: `python child_for_tests.py WHAT`."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from transcriber_worker.tools.bench.child import ContenderServant, serve
from transcriber_worker.tools.bench.contenders import Heard


class Reader:
    """Hears what the file says."""

    def __init__(self) -> None:
        self.facts: Mapping[str, str] = {"workers": "1"}
        self.at_once = 2
        self._heard = 0

    def hear(self, path: Path, language: str | None) -> Heard:
        text = path.read_text()
        if text == "die":
            os._exit(3)
        if text == "hang":
            signal.pause()
        self._heard += 1
        return Heard(text, len(text.split()), language or "en", 1.0)

    def counters(self) -> Mapping[str, float]:
        return {"heard": self._heard}

    def close(self) -> None:
        sys.stderr.write("closed\n")


def load() -> ContenderServant:
    if sys.argv[1] == "broken":
        raise OSError("no such model")
    return ContenderServant(Reader())


if __name__ == "__main__":
    serve(load, sys.stdin, lambda answer: print(json.dumps(answer), flush=True))  # noqa: T201
