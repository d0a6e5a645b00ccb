"""The files that images are built and run from. Needs no container."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.image.building import PROJECT, tried
from transcriber_worker import __version__
from transcriber_worker.settings import Settings
from transcriber_worker.worker.loop import HAND_BACK_S


@pytest.fixture
def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["worker"]
    return found


def test_hadolint_has_nothing_to_say() -> None:
    done = tried(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_secret_in_a_new_file_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "scripts").mkdir(parents=True)
    shutil.copy(PROJECT / "scripts" / "scan-secrets.py", project / "scripts")
    subprocess.run([shutil.which("git") or "git", "init", "--quiet", project], check=True)
    key = "AKIA" + "IOSFODNN7" + "EXAMPLF"  # in pieces, or this very file would be found
    (project / "notes.txt").write_text(f"see {key}\n")
    done = tried(sys.executable, str(project / "scripts" / "scan-secrets.py"))
    assert done.returncode == 1
    assert "notes.txt:1: AWS Access Key" in done.stdout


@pytest.fixture(scope="session")
def compose_schema() -> dict[str, Any]:
    """Compose's own."""
    told = json.loads(tried(sys.executable, "scripts/chart-schemas.py", within_s=600).stdout)
    if reason := told["missing"].get("crds"):
        pytest.skip(f"no schema of Compose: {reason}")
    found: dict[str, Any] = json.loads(next(Path(told["crds"]).glob("compose-spec-*/compose-spec.json")).read_text())
    return found


def test_compose_knows_every_key_of_the_file(compose_schema: dict[str, Any]) -> None:
    compose = yaml.safe_load((PROJECT / "compose.yaml").read_text())
    check = jsonschema.validators.validator_for(compose_schema)(compose_schema)
    assert [error.message for error in check.iter_errors(compose)] == []
    compose["services"]["worker"]["shm_sise"] = "64m"
    assert [error.message for error in check.iter_errors(compose)] != []


def test_the_box_has_a_gpu_time_to_drain_and_nothing_writable_but_volumes(service: dict[str, Any]) -> None:
    assert service["image"] == f"${{IMAGE:-transcriber-worker:{__version__}}}"
    assert service["stop_grace_period"] == f"{Settings().worker.drain_s + HAND_BACK_S:.0f}s"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert "gpu" in device["capabilities"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    written = {volume.partition(":")[2] for volume in service["volumes"]}
    settings = Settings.load(PROJECT / "image" / "config.yaml")
    places = (
        settings.broker.directory.path,
        Path(settings.storage.output),
        settings.model.cache_dir,
        settings.worker.scratch_dir,
    )
    assert all(any(place.is_relative_to(volume) for volume in written) for place in places)
