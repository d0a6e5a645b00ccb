"""An emulator for each module, forgetting everything between tests, and the real SDK on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.oci_emulator.client import Emulator, emulator
from tests.unit.oci_emulator.sdk import BUCKET, Store, store_client


@pytest.fixture(scope="module")
def one_emulator() -> Iterator[Emulator]:
    with emulator() as emu:
        yield emu


@pytest.fixture
def emu(one_emulator: Emulator) -> Emulator:
    one_emulator.reset()
    one_emulator.create_bucket(BUCKET)
    return one_emulator


@pytest.fixture
def config(emu: Emulator, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = oci.config.from_file(str(emu.write_sdk_config(tmp_path / "sdk")))
    return found


@pytest.fixture
def store(emu: Emulator, config: dict[str, Any]) -> Iterator[Store]:
    client = store_client(emu.url, config)
    yield client
    client.base_client.session.close()
