"""Dead letters over an object store."""

from pathlib import Path

import pytest

from transcriber_worker.brokers.base import Letter
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline.stored_letters import StoredLetters
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.storage.router import StoreRouter


@pytest.fixture
def letters(tmp_path: Path) -> StoredLetters:
    state = ObjectUri.from_path(tmp_path / "state", prefix=True)
    return StoredLetters(DirectoryStore(ManualClock(), 1.0, [state]), state)


def test_the_latest_of_an_id_is_kept_until_it_is_resolved(letters: StoredLetters) -> None:
    letters.put(Letter("odd:id/1", b"1"))
    letters.put(Letter("odd:id/1", b"2"))
    assert letters.get("odd:id/1") == Letter("odd:id/1", b"2")
    assert list(letters.list()) == [Letter("odd:id/1", b"2")]

    letters.resolve("odd:id/1")
    letters.resolve("odd:id/1")

    assert letters.get("odd:id/1") is None
    assert list(letters.list()) == []


def test_whatever_the_store_has_against_them_is_our_own_trouble() -> None:
    """No job is to blame for it."""
    letters = StoredLetters(StoreRouter({}), ObjectUri.parse("oci://state@ns/"))

    with pytest.raises(EnvironmentDown, match="no store for oci"):
        letters.put(Letter("a", b"1"))
    with pytest.raises(RejectJob):
        StoreRouter({}).head(ObjectUri.parse("oci://state@ns/a"))
