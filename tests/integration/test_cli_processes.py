"""Commands as processes of their own, beside a real worker with the fake model."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import settings_fields, write_wav
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.settings import ENV_PREFIX
from transcriber_worker.tools.demo import AUDIO_SUFFIXES

PATIENCE_S = 120.0
"""Longer than anything here takes; a test that needs it fails."""
RECORDINGS = Path(__file__).parents[2] / "demo" / "recordings"


@dataclass
class Shell:
    """Runs commands in one folder, with one configuration."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def configure(self, **sections: Any) -> None:
        worker = {"exit_when_idle_s": 0.2, **sections.pop("worker", {})}
        fields = settings_fields(self.folder, worker=worker, **sections)
        fields["broker"]["directory"]["poll_s"] = 0.05
        (self.folder / "config.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")

    def command(self, *words: str | Path) -> list[str]:
        config = [] if words[0] == "demo" else ["--config", str(self.folder / "config.yaml")]
        return [sys.executable, "-m", "transcriber_worker", *map(str, words), *config]

    @property
    def _env(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        return {**ours, **self.environment}

    def call(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words),
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self._env,
            timeout=PATIENCE_S,
        )

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[str]"]:
        """A worker that is ready; stopped by SIGTERM when the block ends."""
        with subprocess.Popen(
            self.command("run"), stderr=subprocess.PIPE, text=True, cwd=self.folder, env=self._env
        ) as process:
            try:
                assert process.stderr is not None
                for line in process.stderr:
                    if json.loads(line)["event"] == "worker.ready":
                        break
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.configure()
    return made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_submitting_and_waiting_says_how_each_job_ended(shell: Shell) -> None:
    write_wav(shell.folder / "good.wav")
    (shell.folder / "bad.mp3").write_text("no audio")
    with shell.worker() as worker:
        good = shell.call("submit", "--wait", "good.wav")
        both = shell.call("submit", "--wait", "good.wav", "bad.mp3")
    assert worker.returncode == ExitCode.OK
    assert good.returncode == ExitCode.OK, good.stderr
    assert good.stderr.splitlines()[-1] == "good.wav: done"
    assert both.returncode == ExitCode.JOB_FAILED
    assert "good.wav: done" in both.stderr
    assert "bad.mp3: dead-lettered: media_unreadable: " in both.stderr
    assert json.loads((shell.folder / "transcripts" / "good.wav.json").read_bytes())["version"] == 1


def test_a_running_worker_answers_health_checks(shell: Shell) -> None:
    shell.configure(observability={"http_port": free_port(), "http_host": "127.0.0.1"})
    with shell.worker():
        assert shell.call("healthcheck", "--ready").returncode == ExitCode.OK
        second = shell.call("run")
    assert second.returncode == ExitCode.WORKER_BROKEN
    last = json.loads(second.stderr.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("worker.broken", 70)
    assert "observability.http_port" in last["message"]


def test_a_worker_with_nothing_to_do_exits_when_told_so(shell: Shell) -> None:
    write_wav(shell.folder / "spool" / "inbox" / "dropped.wav")
    done = shell.call("run", "--exit-when-idle")
    assert done.returncode == ExitCode.OK, done.stderr
    assert (shell.folder / "transcripts" / "dropped.wav.json").is_file()


def test_a_worker_does_not_begin_with_a_configuration_that_can_not_work(shell: Shell) -> None:
    shell.configure(media={"processes": 1})
    done = shell.call("run")
    assert done.returncode == ExitCode.CONFIG
    assert "media.processes" in done.stderr
    assert not (shell.folder / "spool").exists()


def test_a_bug_ends_the_worker_even_while_threads_still_run(shell: Shell) -> None:
    code = (
        "import sys, threading, transcriber_worker.app as app\n"
        "from transcriber_worker.cli import main\n"
        "def run_worker(*_, **__):\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise ZeroDivisionError('a bug')\n"
        "app.run_worker = run_worker\n"
        "main(['run', '--config', sys.argv[1]])\n"
    )
    command = [sys.executable, "-c", code, str(shell.folder / "config.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=shell.folder, timeout=PATIENCE_S)
    assert done.returncode == ExitCode.ERROR
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the repository's recordings are not there")
def test_the_demo_shows_each_recording_with_its_stages_and_words(shell: Shell) -> None:
    shell.environment = {"TRANSCRIBER__MODEL__NAME": "fake"}
    done = shell.call("demo", RECORDINGS)
    assert done.returncode == ExitCode.OK, done.stderr
    names = [path.name for path in RECORDINGS.iterdir() if path.suffix in AUDIO_SUFFIXES]
    assert names
    for name in names:
        assert re.search(rf"^│ {re.escape(name)} +│ +\d+\.\d │", done.stdout, re.MULTILINE), done.stdout
    assert "transcribe" in done.stdout
    assert f"transcripts: {shell.folder}/.demo/transcripts" in done.stdout


def test_the_demo_says_so_when_its_worker_dies(shell: Shell) -> None:
    """It must neither wait for ever nor show an empty success."""
    write_wav(shell.folder / "recordings" / "a[b].wav")
    model = shell.folder / "model"
    model.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (model / name).write_text("{}")
    shell.environment = {"TRANSCRIBER__MODEL__NAME": str(model), "TRANSCRIBER__MODEL__SHA256": "0a" * 32}
    done = shell.call("demo", "recordings", "--folder", "out")
    assert done.returncode == ExitCode.JOB_FAILED
    assert "1 recordings have no transcript" in done.stderr
    assert "a[b].wav: queued" in done.stderr
    log = shell.folder / "out" / "worker.log"
    assert str(log) in done.stderr
    assert "SHA-256" in log.read_text(encoding="utf-8")


def test_a_demo_of_nothing_is_a_wrong_command_line(shell: Shell) -> None:
    for folder in ("missing", "."):
        assert shell.call("demo", folder).returncode == ExitCode.USAGE
