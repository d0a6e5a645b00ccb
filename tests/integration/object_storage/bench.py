"""What the tests of Object Storage's faults have in common: one object, and every way to use it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oci_emulator.client import Emulator
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciAuth, OciSettings
from transcriber_worker.storage.object_storage import ObjectStorageStore

BUCKET = "calls"
NAME = "day/call.wav"
ATTEMPTS = 3
BODY = bytes(range(256)) * 4096
"""1 MiB."""
Use = Callable[[ObjectStorageStore, ObjectUri], object]
READING: dict[str, Use] = {
    "HeadObject": lambda store, uri: store.head(uri),
    "GetObject": lambda store, uri: store.read(uri),
    "ListObjects": lambda store, uri: list(store.list(ObjectUri(uri.scheme, uri.authority, ""))),
}
CHANGING: dict[str, Use] = {
    "PutObject": lambda store, uri: store.write(uri, b"new", "text/plain"),
    "DeleteObject": lambda store, uri: store.delete(uri),
}
EVERY = pytest.mark.parametrize("operation", [*READING, *CHANGING])


def make_access(emu: Emulator, folder: Path, clock: ManualClock, **settings: object) -> OciAccess:
    config = emu.write_sdk_config(folder / "oci")
    fields = {
        "auth": OciAuth.API_KEY,
        "config_file": config,
        "object_storage_endpoint": emu.url,
        "connect_timeout_s": 2.0,
        "read_timeout_s": 0.5,
        "attempts": ATTEMPTS,
    }
    return OciAccess(OciSettings.model_validate({**fields, **settings}), clock)


def use(store: ObjectStorageStore, uri: ObjectUri, operation: str) -> object:
    return {**READING, **CHANGING}[operation](store, uri)


def asked(emu: Emulator, operation: str) -> int:
    return emu.counts().get(operation, 0)
