"""Commands called in process, on a spool that a workbench shares with them."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.builders import settings_fields
from tests.workbench import Workbench
from transcriber_worker.cli import main
from transcriber_worker.settings import ENV_PREFIX


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


class Terminal:
    """Where commands are called: `call("status", "--json")`; `--config` is added where a command takes it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(settings_fields(folder)), encoding="utf-8")
        self._capsys = capsys

    def call(self, *arguments: str | Path, config: bool = True) -> Answer:
        words = [str(argument) for argument in arguments]
        with pytest.raises(SystemExit) as caught:
            main([*words, *(["--config", str(self.config)] if config else [])])
        out, err = self._capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Answer(caught.value.code, out, err)


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Terminal(tmp_path, capsys)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """The worker's side. Its clock stands still at the moment the test began."""
    made = Workbench(tmp_path)
    made.clock.advance(time.time() - made.clock.now())
    yield made
    made.close()
