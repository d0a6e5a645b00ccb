"""The OCI Queue adapter keeps the brokers' contract, over HTTP and with the real SDK, on the emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.broker_contract import BrokerContract
from tests.contract.pipeline_contract import PipelineContract
from tests.oci_emulator.client import Emulator, emulator
from tests.oci_queues import OciQueueHarness


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with emulator() as emu:
        yield emu


@pytest.fixture(scope="module")
def sdk_config(emu: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emu.write_sdk_config(tmp_path_factory.mktemp("oci"))


@pytest.fixture
def harness(emu: Emulator, sdk_config: Path, tmp_path: Path) -> OciQueueHarness:
    return OciQueueHarness(emu, sdk_config, tmp_path)


class TestOciQueueBroker(BrokerContract):
    pass


class TestOciQueuePipeline(PipelineContract):
    largest_body_bytes = 128 * 1024
    """Of text; what is no text travels as base64, which makes it a third longer."""
