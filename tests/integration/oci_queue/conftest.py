"""One emulated Queue service for each file of tests, and workers on a queue of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oci_emulator.client import Emulator, emulator
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Broker


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with emulator() as emu:
        yield emu


@pytest.fixture(scope="module")
def sdk_config(emu: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emu.write_sdk_config(tmp_path_factory.mktemp("oci"))


@pytest.fixture
def harness(emu: Emulator, sdk_config: Path, tmp_path: Path) -> Iterator[OciQueueHarness]:
    yield OciQueueHarness(emu, sdk_config, tmp_path)
    emu.up()
    emu.clear_faults()


@pytest.fixture
def worker(harness: OciQueueHarness) -> Broker:
    return harness.connect()


@pytest.fixture
def other(harness: OciQueueHarness) -> Broker:
    return harness.connect()
