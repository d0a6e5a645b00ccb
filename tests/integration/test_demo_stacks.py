"""`make demo STACK=...`: the demo on brokers and stores that it starts for itself."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.chaos.deployment import RECORDINGS, until
from transcriber_worker.observability import events
from transcriber_worker.settings import ENV_PREFIX
from transcriber_worker.tools.demo import AUDIO_SUFFIXES

SCRIPT = RECORDINGS.parents[1] / "scripts" / "demo.py"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if path.suffix in AUDIO_SUFFIXES)


def start(folder: Path, stack: str) -> "subprocess.Popen[str]":
    """As make does, but below another folder, and with the fake model."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), stack],
        cwd=folder,
        env={**own, "TRANSCRIBER__MODEL__NAME": "fake"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(params=["kafka", "queue"])
def stack(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        request.getfixturevalue("whole_kafka")  # skips where there can be none
    return str(request.param)


def test_the_demo_shows_each_recording_whatever_it_runs_on(tmp_path: Path, stack: str) -> None:
    process = start(tmp_path, stack)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for name in NAMES:
        assert re.search(rf"^│ {re.escape(name)} +│ +\d+\.\d │", out, re.MULTILINE), out
        assert list((tmp_path / ".demo" / stack / "transcripts").rglob(f"{name}.json"))
    assert "result events: " in out


def test_a_demo_that_is_interrupted_leaves_no_process_behind(tmp_path: Path, stack: str) -> None:
    process = start(tmp_path, stack)
    log = tmp_path / ".demo" / stack / "worker.log"
    until(lambda: log.is_file() and "worker.ready" in log.read_text(), "a worker at work")
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3, "the server, the demo and its worker"
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to everybody
    process.communicate(timeout=60)
    assert process.returncode != 0
    for sign in (events.WORKER_PAUSED, events.ENVIRONMENT_DOWN):
        assert sign.name not in log.read_text(), "a server was gone before the worker"
    assert "worker.stopped" in log.read_text(), "the worker was not let end in its own way"
    until(lambda: not [one for one in family if one.is_running()], "all processes gone", 10.0)
