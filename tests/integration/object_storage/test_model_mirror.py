"""`fetch-model`: the model from a bucket or a directory of our own, verified, before a worker starts offline."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.object_storage.bench import BUCKET
from tests.integration.resolve_toy import CONTENT, TOY
from tests.oci_emulator.client import Emulator
from transcriber_worker.app.models import fetch_model
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.domain.uri import InvalidUri
from transcriber_worker.inference import model_catalogue, model_files
from transcriber_worker.settings import Settings


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with a model of a few bytes."""
    monkeypatch.setattr(model_files, "CATALOGUE", {**model_catalogue.CATALOGUE, "toy": TOY})


def settings(folder: Path, **oci: Any) -> Settings:
    model = {"name": "toy", "cache_dir": folder / "cache", "offline": True}
    return Settings.model_validate({"model": model, "oci": oci})


def in_oci(emu: Emulator, folder: Path) -> Settings:
    config = emu.write_sdk_config(folder / "oci")
    return settings(folder, auth="api_key", config_file=config, object_storage_endpoint=emu.url, attempts=1)


def put(emu: Emulator, content: dict[str, bytes]) -> str:
    for name, body in content.items():
        emu.put_object(BUCKET, f"whisper/toy/{name}", body)
    return f"oci://{BUCKET}@{emu.namespace}/whisper"


def cached(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "cache" / "toy").glob("*")}


def test_it_comes_out_of_a_bucket_and_is_verified(emu: Emulator, tmp_path: Path) -> None:
    told: list[str] = []

    files = fetch_model(in_oci(emu, tmp_path), put(emu, CONTENT), told.append)

    assert cached(tmp_path) == CONTENT
    assert files.sha256 == TOY.digests["model.bin"]
    assert any(line.startswith("verifying") for line in told)


def test_what_is_cached_is_verified_and_not_fetched_again(emu: Emulator, tmp_path: Path) -> None:
    mirror = put(emu, CONTENT)
    fetch_model(in_oci(emu, tmp_path), mirror, print)
    emu.reset()  # the bucket is gone

    fetch_model(in_oci(emu, tmp_path), mirror, print)

    assert cached(tmp_path) == CONTENT


def test_another_file_in_the_bucket_is_no_model(emu: Emulator, tmp_path: Path) -> None:
    mirror = put(emu, {**CONTENT, "model.bin": b"something else"})

    with pytest.raises(WorkerBroken, match="SHA-256"):
        fetch_model(in_oci(emu, tmp_path), mirror, print)

    assert not (tmp_path / "cache" / "toy").exists()


def test_a_file_that_is_missing_is_named(emu: Emulator, tmp_path: Path) -> None:
    mirror = put(emu, {name: body for name, body in CONTENT.items() if name != "config.json"})

    with pytest.raises(WorkerBroken, match=r"whisper/toy/config\.json: it is not there"):
        fetch_model(in_oci(emu, tmp_path), mirror, print)


def test_a_directory_will_do(tmp_path: Path) -> None:
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    for name, body in CONTENT.items():
        (tmp_path / "mirror" / "toy" / name).write_bytes(body)

    fetch_model(settings(tmp_path), str(tmp_path / "mirror"), print)

    assert cached(tmp_path) == CONTENT


def test_other_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidUri, match="https://"):
        fetch_model(settings(tmp_path), "https://host/models/", print)
