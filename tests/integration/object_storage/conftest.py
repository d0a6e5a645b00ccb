"""One emulator for all of them, and a store on it; only the pauses between tries are a manual clock's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.object_storage.bench import BUCKET, NAME, make_access
from tests.oci_emulator.client import Emulator, emulator
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.object_storage import ObjectStorageStore


@pytest.fixture(scope="session")
def server() -> Iterator[Emulator]:
    with emulator() as server:
        yield server


@pytest.fixture
def emu(server: Emulator) -> Emulator:
    server.reset()
    server.create_bucket(BUCKET)
    return server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(emu: Emulator, clock: ManualClock, tmp_path: Path) -> ObjectStorageStore:
    return ObjectStorageStore(make_access(emu, tmp_path, clock), clock, 1200.0)


@pytest.fixture
def uri(emu: Emulator) -> ObjectUri:
    return ObjectUri("oci", f"{BUCKET}@{emu.namespace}", NAME)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder
