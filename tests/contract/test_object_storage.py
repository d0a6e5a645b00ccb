"""The Object Storage adapter keeps the contract, over HTTP and with the real SDK, on the emulator."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.contract.store_contract import StoreContract
from tests.oci_emulator.client import Emulator, emulator
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciAuth, OciSettings
from transcriber_worker.storage.base import ObjectStore
from transcriber_worker.storage.object_storage import ObjectStorageStore

BUCKET = "contract"
_prefixes = itertools.count()


@dataclass
class ObjectStorageHarness:
    prefix: ObjectUri
    settings: OciSettings

    def opener(self, process: int) -> Callable[[], ObjectStore]:
        return partial(_open, self.settings)


def _open(settings: OciSettings) -> ObjectStore:
    return ObjectStorageStore(OciAccess(settings, SystemClock()), SystemClock(), 1200.0)


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with emulator() as emu:
        emu.create_bucket(BUCKET)
        yield emu


@pytest.fixture(scope="module")
def settings(emu: Emulator, tmp_path_factory: pytest.TempPathFactory) -> OciSettings:
    config = emu.write_sdk_config(tmp_path_factory.mktemp("oci"))
    return OciSettings(auth=OciAuth.API_KEY, config_file=config, object_storage_endpoint=emu.url)


class TestObjectStorageStore(StoreContract):
    @pytest.fixture
    def harness(self, emu: Emulator, settings: OciSettings) -> ObjectStorageHarness:
        prefix = ObjectUri("oci", f"{BUCKET}@{emu.namespace}", f"test-{next(_prefixes)}/")
        return ObjectStorageHarness(prefix, settings)
