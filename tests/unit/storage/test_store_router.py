"""Each scheme has its own store."""

from pathlib import Path

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ConditionFailed, IfAbsent, ObjectNotFound
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.storage.router import StoreRouter


@pytest.fixture
def prefix(tmp_path: Path) -> ObjectUri:
    return ObjectUri.from_path(tmp_path / "objects", prefix=True)


@pytest.fixture
def router(prefix: ObjectUri) -> StoreRouter:
    return StoreRouter({"file": DirectoryStore(ManualClock(), 1.0, [prefix])})


def test_every_call_reaches_the_store_of_the_scheme(router: StoreRouter, prefix: ObjectUri, tmp_path: Path) -> None:
    uri = prefix.child("call.json")
    written = router.write(uri, b"1", "application/json", IfAbsent())

    assert router.head(uri).etag == written.etag
    assert router.read(uri)[0] == b"1"
    assert router.download(uri, tmp_path / "call", etag=written.etag).size_bytes == 1
    assert list(router.list(prefix)) == [uri]
    with pytest.raises(ConditionFailed):
        router.write(uri, b"2", "application/json", IfAbsent())
    with pytest.raises(ConditionFailed):
        router.delete(uri, IfAbsent())
    router.delete(uri)
    with pytest.raises(ObjectNotFound):
        router.head(uri)


def test_a_scheme_without_a_store_rejects_the_job_and_says_what_there_is(router: StoreRouter) -> None:
    with pytest.raises(RejectJob) as refused:
        router.read(ObjectUri.parse("oci://bucket@namespace/secret-name"))

    assert refused.value.reason is Reason.SOURCE_NOT_ALLOWED
    assert refused.value.message == "this worker has no store for oci:// URIs (it has: file://)"
