"""A host of the open Internet that is really here."""

from collections.abc import Iterator

import pytest

from tests.https_origin import HOST, Internet, serving
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.https import HttpsStore


@pytest.fixture
def internet() -> Iterator[Internet]:
    with serving() as origin:
        yield Internet(origin)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(internet: Internet, clock: ManualClock) -> HttpsStore:
    return internet.store(clock)


@pytest.fixture
def uri() -> ObjectUri:
    return ObjectUri.parse(f"https://{HOST}/public/call.wav?token=secret-4711")
