"""The tests' side of the emulator: `with emulator() as emu:`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.oci_emulator.remote import Remote

PROJECT = Path(__file__).parents[2]


class Emulator(Remote):
    """One that this process started. `state`: a folder for what is to outlive a kill."""

    def __init__(self, state: Path | None = None) -> None:
        self._state = state
        self._process, urls = _started(state, 0, 0)
        super().__init__(**urls)

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does. Nothing if it is dead."""
        self._process.kill()
        self._process.communicate()

    def restart(self) -> None:
        """Start it again after `kill`, on the same ports."""
        ports = [urlsplit(url).port or 0 for url in (self.url, self.control_url)]
        self._process, _ = _started(self._state, *ports)

    @property
    def remote(self) -> Remote:
        """For other processes; this one can't be pickled."""
        return Remote(self.url, self.control_url)


@contextmanager
def emulator(state: Path | None = None) -> Iterator[Emulator]:
    """An emulator of its own, gone when the block ends or with this process."""
    emu = Emulator(state)
    try:
        yield emu
    finally:
        emu.kill()


def _started(state: Path | None, port: int, control_port: int) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    command = [sys.executable, "-m", "tests.oci_emulator", "--with-parent"]
    command += ["--port", str(port), "--control-port", str(control_port)]
    if state is not None:
        state.mkdir(parents=True, exist_ok=True)
        command += ["--state", str(state)]
    # Its standard input ends with this process, however that ends, and then it leaves too.
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the emulator did not start: see its standard error"
    return process, json.loads(line)
