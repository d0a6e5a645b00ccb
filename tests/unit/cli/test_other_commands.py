"""`check-config`, `healthcheck`, and what all commands have in common."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.builders import settings_fields
from tests.unit.cli.conftest import Terminal
from transcriber_worker import __version__
from transcriber_worker.cli import parser
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, RetryJob, WorkerBroken
from transcriber_worker.observability.health import HealthState
from transcriber_worker.observability.health_server import HealthServer
from transcriber_worker.observability.labels import WorkerState
from transcriber_worker.observability.metrics import Metrics

COMMANDS = ["run", "healthcheck", "submit", "status", "cancel", "check-config", "fetch-model", "demo", "bench",
            "bench-gpu", "queue-exporter", "dlq", "dlq list", "dlq show", "dlq redrive"]  # fmt: skip
WITH_CONFIG = [["run"], ["healthcheck"], ["submit", "a.wav"], ["status"], ["cancel", "x"], ["check-config"],
               ["dlq", "list"], ["dlq", "show", "x"], ["dlq", "redrive", "x"]]  # fmt: skip


def test_good_settings_are_good(terminal: Terminal) -> None:
    answer = terminal.call("check-config")
    assert (answer.code, answer.err) == (ExitCode.OK, "")
    assert "good" in answer.out


def test_every_problem_of_form_is_listed(terminal: Terminal) -> None:
    terminal.config.write_text("engin: {}\nworker: {drain_s: -1}\n")
    answer = terminal.call("check-config")
    assert answer.code == ExitCode.CONFIG
    assert "2 problems in the configuration" in answer.err
    assert "engin: unknown setting" in answer.err
    assert "worker.drain_s" in answer.err


def test_every_problem_of_substance_is_listed(terminal: Terminal, tmp_path: Path) -> None:
    fields = settings_fields(tmp_path, storage={"output": "https://host/"}, model={"name": "bass"})
    terminal.config.write_text(yaml.safe_dump(fields))
    answer = terminal.call("check-config")
    assert answer.code == ExitCode.CONFIG
    assert "nothing can be written to https://" in answer.err
    assert "model.name" in answer.err
    assert answer.err.count("->") == 2


@pytest.mark.parametrize("words", WITH_CONFIG, ids=" ".join)
def test_no_command_goes_on_with_a_wrong_configuration(terminal: Terminal, words: list[str]) -> None:
    for text in ("engin: {}\n", "storage: {output: 'ftp://host/'}\n"):
        terminal.config.write_text(text)
        assert terminal.call(*words).code == ExitCode.CONFIG
    terminal.config.unlink()
    assert "there is no file" in terminal.call(*words).err


@pytest.mark.parametrize("words", WITH_CONFIG[2:5] + WITH_CONFIG[6:], ids=" ".join)
def test_a_spool_that_can_not_be_used_is_no_traceback(terminal: Terminal, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "spool").write_text("not a directory")
    Path("a.wav").write_bytes(b"1")
    answer = terminal.call(*words)
    assert answer.code == ExitCode.UNAVAILABLE
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EnvironmentDown("disk full"), ExitCode.UNAVAILABLE),
        (RetryJob("being written to"), ExitCode.UNAVAILABLE),
        (WorkerBroken("no model"), ExitCode.WORKER_BROKEN),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_each_error_has_its_exit_code(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: ExitCode
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("transcriber_worker.app.open_office", fail)
    answer = terminal.call("status")
    assert answer.code == code
    assert str(error) in answer.err


def test_a_refusal_is_told_with_its_reason(terminal: Terminal) -> None:
    Path("empty").mkdir()
    assert terminal.call("submit", "empty").err.startswith("transcriber-worker: source_not_found: ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["dlq"],
        ["submit"],
        ["cancel"],
        ["dlq", "show"],
        ["demo"],
        ["bench", "--rounds", "0"],
        ["bench", "--beams", "wide"],
        ["bench", "--workloads", "short"],
        ["bench-gpu", "--streams", "0"],
        ["bench-gpu", "--models", "medium"],
        ["status", "--nonsense"],
        ["submit", "a", "--task", "sing"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_shows_the_usage(terminal: Terminal, words: list[str]) -> None:
    answer = terminal.call(*words, config=False)
    assert answer.code == ExitCode.USAGE
    assert "usage: transcriber-worker" in answer.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(terminal: Terminal, command: str) -> None:
    answer = terminal.call(*command.split(), "--help", config=False)
    assert answer.code == ExitCode.OK
    assert f"usage: transcriber-worker {command}" in answer.out


def test_the_help_lists_every_command_with_what_it_does() -> None:
    listed = re.findall(r"^    ([a-z-]+)\s+\w", parser().format_help(), re.MULTILINE)
    assert set(listed) == {command.split()[0] for command in COMMANDS}


def test_the_version_is_told(terminal: Terminal) -> None:
    assert terminal.call("--version", config=False).out == f"transcriber-worker {__version__}\n"


def test_the_package_is_a_program_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "transcriber_worker", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"transcriber-worker {__version__}\n"


def test_looking_at_jobs_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom transcriber_worker.cli import main\n"
        "try:\n    main(['status'])\nexcept SystemExit:\n    pass\n"
        "print({'ctranslate2', 'faster_whisper', 'onnxruntime', 'av', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "set()"


def served(terminal: Terminal, tmp_path: Path, host: str, asked: str) -> tuple[HealthState, HealthServer]:
    registry = CollectorRegistry()
    state = HealthState(ManualClock(), 600.0, Metrics(registry))
    server = HealthServer(state, registry, host, 0)
    fields = settings_fields(tmp_path, observability={"http_port": server.port, "http_host": asked})
    terminal.config.write_text(yaml.safe_dump(fields))
    return state, server


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "0.0.0.0"), ("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")],  # noqa: S104
)
def test_a_healthy_worker_is_healthy_wherever_it_listens(
    terminal: Terminal, tmp_path: Path, host: str, asked: str
) -> None:
    state, server = served(terminal, tmp_path, host, asked)
    with server:
        state.enter(WorkerState.RUNNING)
        answer = terminal.call("healthcheck", "--ready")
        assert answer.code == ExitCode.OK
        assert isinstance(json.loads(answer.out), dict)


def test_a_worker_that_is_loading_lives_and_is_not_ready(terminal: Terminal, tmp_path: Path) -> None:
    _, server = served(terminal, tmp_path, "127.0.0.1", "127.0.0.1")
    with server:
        assert terminal.call("healthcheck").code == ExitCode.OK
        assert terminal.call("healthcheck", "--ready").code == ExitCode.UNHEALTHY


def test_no_worker_is_no_health(terminal: Terminal, tmp_path: Path) -> None:
    _, server = served(terminal, tmp_path, "127.0.0.1", "127.0.0.1")
    server.close()
    answer = terminal.call("healthcheck")
    assert answer.code == ExitCode.UNHEALTHY
    assert "no answer" in answer.out


def test_the_exporter_is_asked_at_its_own_port(terminal: Terminal, tmp_path: Path) -> None:
    _, server = served(terminal, tmp_path, "127.0.0.1", "127.0.0.1")
    own = {"exporter": {"http_port": server.port, "http_host": "127.0.0.1"}}
    terminal.config.write_text(yaml.safe_dump(settings_fields(tmp_path, **own)))
    with server:
        assert terminal.call("healthcheck", "--exporter").code == ExitCode.OK
    assert terminal.call("healthcheck", "--exporter").code == ExitCode.UNHEALTHY


def test_a_worker_without_probes_is_told_as_such(terminal: Terminal) -> None:
    answer = terminal.call("healthcheck")
    assert answer.code == ExitCode.UNHEALTHY
    assert "observability.http_port is 0" in answer.err


def test_every_exit_code_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}
