"""The quick start on one machine: its configuration, its unit and its Compose file fit together."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PROJECT, page
from tests.docs.rehearsal import Asked, Rehearsal, rehearse
from tests.docs.shell import Command, complaint
from transcriber_worker.settings import Settings
from transcriber_worker.worker.loop import HAND_BACK_S


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return rehearse(page("docs/quickstart-gpu-box.md"), tmp_path_factory.mktemp("box"))


class Unit(configparser.ConfigParser):
    """Systemd minds the case of its keys."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def written(rehearsal: Rehearsal, ending: str) -> str:
    (tee,) = (one for one in rehearsal.of("sudo", "tee") if one.arguments[1].endswith(ending))
    return tee.stdin


@pytest.fixture(scope="module")
def settings(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    file = tmp_path_factory.mktemp("box") / "worker.yaml"
    file.write_text(written(rehearsal, "worker.yaml"))
    return Settings.load(file)


@pytest.fixture(scope="module")
def unit(rehearsal: Rehearsal) -> configparser.ConfigParser:
    parsed = Unit(interpolation=None)
    parsed.read_string(written(rehearsal, ".service"))
    return parsed


def test_the_unit_has_time_to_drain(unit: configparser.ConfigParser, settings: Settings) -> None:
    assert float(unit["Service"]["TimeoutStopSec"]) >= settings.worker.drain_s + HAND_BACK_S


def test_the_unit_may_write_all_that_the_worker_writes(unit: configparser.ConfigParser, settings: Settings) -> None:
    allowed = Path(unit["Service"]["ReadWritePaths"])
    broker, worker = settings.broker.directory, settings.worker
    places = [broker.path, worker.scratch_dir, settings.model.cache_dir, Path(settings.storage.output)]
    assert [place for place in places if not place.is_relative_to(allowed)] == []


def test_the_unit_starts_the_worker_with_its_configuration(
    rehearsal: Rehearsal, unit: configparser.ConfigParser
) -> None:
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert complaint(Command("the unit", ("transcriber-worker", *arguments))) is None
    assert arguments[-1] in {one.arguments[1] for one in rehearsal.of("sudo", "tee")}
    (venv,) = (one for one in rehearsal.of("sudo") if "venv" in one.arguments)
    assert program == f"{venv.arguments[-1]}/bin/transcriber-worker"


def test_systemd_finds_nothing_wrong_with_the_unit(rehearsal: Rehearsal, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on the path")
    # What it would miss on this machine alone: the program, the user's home.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", written(rehearsal, ".service"), flags=re.MULTILINE)
    file = tmp_path / "transcriber-worker.service"
    file.write_text(text)
    done = subprocess.run([program, "verify", str(file)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if file.name in line] == []


def test_locks_that_it_installs_are_there(rehearsal: Rehearsal) -> None:
    named = [word for one in rehearsal.of("sudo") for word in one.arguments if word.startswith("requirements/")]
    assert named
    assert [name for name in named if not (PROJECT / name).is_file()] == []


def test_commands_as_the_worker_are_ones_that_our_parser_takes(rehearsal: Rehearsal) -> None:
    asked = [one for one in rehearsal.of("sudo", "--user", "transcriber") if "transcriber-worker" in one.arguments[2]]
    ours = [Command("the page", ("transcriber-worker", *one.arguments[3:])) for one in asked]
    assert {"check-config", "fetch-model", "status"} == {command.arguments[0] for command in ours}
    assert [why for command in ours if (why := complaint(command))] == []


@pytest.fixture
def services() -> set[str]:
    file = PROJECT / "compose.yaml"
    return set(yaml.safe_load(file.read_text())["services"])


def test_compose_lines_name_its_services(rehearsal: Rehearsal, services: set[str]) -> None:
    asked = rehearsal.of("docker", "compose")
    assert asked
    assert {name for one in asked for name in _services(one)} <= services


def _services(asked: Asked) -> set[str]:
    """What a line of `docker compose` calls a service."""
    words = asked.arguments[1:]
    if words[0] == "cp":
        return {word.partition(":")[0] for word in words[1:] if ":" in word}
    plain = [word for word in words[1:] if not word.startswith("-")]
    return set(plain[:1]) if words[0] in {"exec", "logs"} else set()


def test_commands_in_the_container_are_ones_that_our_parser_takes(rehearsal: Rehearsal) -> None:
    inside = [one.arguments[3:] for one in rehearsal.of("docker", "compose", "exec")]
    assert inside
    assert [why for words in inside if (why := complaint(Command("the page", words)))] == []
