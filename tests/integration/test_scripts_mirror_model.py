"""`scripts/mirror-model.py`: into a bucket or a directory, as `fetch-model --from` wants it."""

import hashlib
import runpy
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.resolve_toy import CONTENT, TOY
from tests.oci_emulator.client import Emulator, emulator
from transcriber_worker.app.models import fetch_model
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.inference import model_catalogue, model_files
from transcriber_worker.settings import Settings

SCRIPT = Path(__file__).parents[2] / "scripts" / "mirror-model.py"
BUCKET = "models"
PART_BYTES = 32 * 1024
LARGE = {**CONTENT, "model.bin": bytes(range(256)) * 400}
"""Weights of more than three parts."""
BIG_TOY = replace(TOY, digests={name: hashlib.sha256(data).hexdigest() for name, data in LARGE.items()})
Call = Callable[..., int]


@pytest.fixture(scope="module")
def servers() -> Iterator[Emulator]:
    with emulator() as emu:
        yield emu


@pytest.fixture
def emu(servers: Emulator) -> Emulator:
    servers.reset()
    servers.create_bucket(BUCKET)
    return servers


@pytest.fixture
def config(tmp_path: Path, servers: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings with a model of a few bytes, which is in the cache."""
    catalogue = {**model_catalogue.CATALOGUE, "toy": BIG_TOY}
    for module in (model_catalogue, model_files):
        monkeypatch.setattr(module, "CATALOGUE", catalogue)
    cached = tmp_path / "cache" / "toy"
    cached.mkdir(parents=True)
    for name, body in LARGE.items():
        (cached / name).write_bytes(body)
    file = tmp_path / "worker.yaml"
    sdk = servers.write_sdk_config(tmp_path / "oci")
    oci = {"auth": "api_key", "config_file": str(sdk), "object_storage_endpoint": servers.url, "attempts": 1}
    file.write_text(yaml.safe_dump({"model": {"name": "toy", "cache_dir": str(tmp_path / "cache")}, "oci": oci}))
    return file


@pytest.fixture
def call(config: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The script, in this process, as its catalogue has to be another one; returns its exit code."""

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--config", str(config), *words])
        script = runpy.run_path(str(SCRIPT))
        script["main"].__globals__["PART_BYTES"] = PART_BYTES
        with pytest.raises(SystemExit) as caught:
            script["main"]()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return run


def mirrored(emu: Emulator) -> dict[str, bytes]:
    return {name: emu.get_object(BUCKET, name) for name in emu.list_objects(BUCKET)}


def prefix(emu: Emulator) -> str:
    return f"oci://{BUCKET}@{emu.namespace}/whisper/"


def requests(emu: Emulator, operation: str) -> int:
    return emu.counts().get(operation, 0)


def test_a_model_is_mirrored_in_parts_where_it_is_fetched_from(
    emu: Emulator, call: Call, config: Path, tmp_path: Path
) -> None:
    emu.clear_requests()
    assert call(prefix(emu)) == ExitCode.OK
    assert requests(emu, "UploadPart") == 4
    assert mirrored(emu) == {f"whisper/toy/{name}": body for name, body in LARGE.items()}
    settings = Settings.load(config)
    pod = settings.model.model_copy(update={"cache_dir": tmp_path / "pod"})
    fetch_model(settings.model_copy(update={"model": pod}), prefix(emu), print)
    assert {path.name: path.read_bytes() for path in (tmp_path / "pod" / "toy").iterdir()} == LARGE


def test_what_is_there_already_is_left_alone(emu: Emulator, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call(prefix(emu))
    emu.clear_requests()
    assert call(prefix(emu)) == ExitCode.OK
    assert requests(emu, "UploadPart") == requests(emu, "PutObject") == 0
    assert capsys.readouterr().err.count("there already") == len(LARGE)


def test_something_else_of_that_name_is_replaced(emu: Emulator, call: Call) -> None:
    emu.put_object(BUCKET, "whisper/toy/model.bin", bytes(len(LARGE["model.bin"])))
    assert call("--check", prefix(emu)) == ExitCode.OK
    assert mirrored(emu)["whisper/toy/model.bin"] == LARGE["model.bin"]


def test_a_check_finds_what_is_not_the_model(emu: Emulator, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where its size and its metadata say that it is."""
    call(prefix(emu))
    digest = {"opc-meta-sha256": BIG_TOY.digests["model.bin"]}
    emu.put_object(BUCKET, "whisper/toy/model.bin", bytes(len(LARGE["model.bin"])), digest)
    assert call("--check", prefix(emu)) == ExitCode.WORKER_BROKEN
    assert "SHA-256" in capsys.readouterr().err


def test_a_cache_that_holds_something_else_is_not_mirrored(emu: Emulator, call: Call, tmp_path: Path) -> None:
    (tmp_path / "cache" / "toy" / "model.bin").write_bytes(b"something else")
    assert call(prefix(emu)) == ExitCode.WORKER_BROKEN
    assert mirrored(emu) == {}


def test_a_directory_will_do(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert call("--check", str(tmp_path / "mirror")) == ExitCode.OK
    assert {path.name: path.read_bytes() for path in (tmp_path / "mirror" / "toy").iterdir()} == LARGE
    assert capsys.readouterr().err.count("there already") == len(LARGE)


def test_a_bucket_that_is_not_there_is_told_in_one_line(
    emu: Emulator, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(f"oci://nobody@{emu.namespace}/") == ExitCode.UNAVAILABLE
    assert "nobody" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "nope", "mirror"], "nope is no known model"),
        (["https://host/models/"], "nothing can be written to a URL"),
        (["ftp://host/"], "unknown scheme"),
    ],
)
def test_what_can_not_be_mirrored_is_told(
    call: Call, words: list[str], told: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert call(*words) == ExitCode.CONFIG
    assert told in capsys.readouterr().err
