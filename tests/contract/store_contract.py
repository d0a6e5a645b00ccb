"""What every object store promises, whatever it is made of."""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ConditionFailed, IfAbsent, IfMatch, ObjectNotFound, ObjectStore

RACERS = 8
INCREMENTS = 50
JOIN_S = 120

ODD_NAMES = [
    "with space.wav",
    "Überprüfung/文字 起こし.mp3",
    "50% off #1 a+b&c=d;e'f\".wav",
    "already%20quoted%2Fname.wav",
    ".hidden/..two/...three.wav",
    "x" * 230 + ".wav",
    "/".join(["deep"] * 30) + "/call.wav",
    "no-extension",
]


class StoreHarness(Protocol):
    """How the suite gets at one kind of store."""

    prefix: ObjectUri
    """Where this test may write; empty at its start."""

    def opener(self, process: int) -> Callable[[], ObjectStore]:
        """Makes a store in the process of that number; can be pickled."""
        ...


class StoreContract:
    """Subclass it with a `harness` fixture."""

    missing: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def store(self, harness: StoreHarness) -> ObjectStore:
        return harness.opener(0)()

    @pytest.fixture
    def uri(self, harness: StoreHarness) -> ObjectUri:
        return harness.prefix.child("calls/call.json")

    def test_what_was_written_is_read(self, store: ObjectStore, uri: ObjectUri) -> None:
        written = store.write(uri, b"words", "application/json")

        body, info = store.read(uri)

        assert body == b"words"
        assert (info.etag, info.size_bytes, info.modified_at) == (written.etag, 5, written.modified_at)
        assert store.head(uri).etag == written.etag

    def test_an_empty_object_is_an_object(self, store: ObjectStore, uri: ObjectUri) -> None:
        store.write(uri, b"", "text/plain")

        assert store.read(uri)[0] == b""
        assert store.head(uri).size_bytes == 0

    def test_the_store_tells_its_own_time(self, store: ObjectStore, uri: ObjectUri) -> None:
        """Leases go by it: a later answer is not earlier than what was written before."""
        written = store.write(uri, b"1", "text/plain")

        assert written.modified_at <= store.head(uri).observed_at + 0.001

    def test_what_is_missing_is_not_found(self, store: ObjectStore, uri: ObjectUri, tmp_path: Path) -> None:
        target = tmp_path / "call.wav"

        for access in (store.head, store.read):
            with pytest.raises(ObjectNotFound):
                access(uri)
        with pytest.raises(ObjectNotFound):
            store.download(uri, target, etag="any")
        assert list(tmp_path.iterdir()) == []

    def test_an_unconditional_write_replaces(self, store: ObjectStore, uri: ObjectUri) -> None:
        first = store.write(uri, b"one", "text/plain")
        second = store.write(uri, b"two", "text/plain")

        assert store.read(uri)[0] == b"two"
        assert first.etag != second.etag

    def test_create_only_writes_once(self, store: ObjectStore, uri: ObjectUri) -> None:
        store.write(uri, b"first", "text/plain", IfAbsent())

        with pytest.raises(ConditionFailed):
            store.write(uri, b"second", "text/plain", IfAbsent())
        assert store.read(uri)[0] == b"first"

    def test_if_match_replaces_the_version_it_names(self, store: ObjectStore, uri: ObjectUri) -> None:
        first = store.write(uri, b"first", "text/plain")

        second = store.write(uri, b"second", "text/plain", IfMatch(first.etag))

        body, info = store.read(uri)
        assert (body, info.etag) == (b"second", second.etag)

    def test_if_match_refuses_another_version(self, store: ObjectStore, uri: ObjectUri) -> None:
        """Equal in size, so that nothing but the version tells them apart."""
        stale = store.write(uri, b"version 1", "text/plain")
        store.write(uri, b"version 2", "text/plain")

        with pytest.raises(ConditionFailed):
            store.write(uri, b"version 3", "text/plain", IfMatch(stale.etag))
        assert store.read(uri)[0] == b"version 2"

    def test_if_match_refuses_an_object_that_is_gone(self, store: ObjectStore, uri: ObjectUri) -> None:
        written = store.write(uri, b"1", "text/plain")
        store.delete(uri)

        with pytest.raises(ConditionFailed):
            store.write(uri, b"2", "text/plain", IfMatch(written.etag))
        with pytest.raises(ObjectNotFound):
            store.head(uri)

    def test_no_two_versions_share_an_etag(self, store: ObjectStore, uri: ObjectUri) -> None:
        etags = [store.write(uri, b"%03d" % n, "text/plain").etag for n in range(40)]

        assert len(set(etags)) == 40

    def test_deleting_twice_is_no_error(self, store: ObjectStore, uri: ObjectUri) -> None:
        store.write(uri, b"1", "text/plain")

        store.delete(uri)
        store.delete(uri)

        with pytest.raises(ObjectNotFound):
            store.read(uri)

    def test_a_conditional_delete_spares_another_version(self, store: ObjectStore, uri: ObjectUri) -> None:
        stale = store.write(uri, b"1", "text/plain")
        current = store.write(uri, b"2", "text/plain")

        with pytest.raises(ConditionFailed):
            store.delete(uri, IfMatch(stale.etag))
        assert store.read(uri)[0] == b"2"
        store.delete(uri, IfMatch(current.etag))
        with pytest.raises(ConditionFailed):
            store.delete(uri, IfMatch(current.etag))

    def test_a_download_is_the_version_it_asked_for(self, store: ObjectStore, uri: ObjectUri, tmp_path: Path) -> None:
        body = bytes(range(256)) * 4096
        written = store.write(uri, body, "audio/wav")

        info = store.download(uri, tmp_path / "call.wav", etag=written.etag)

        assert (tmp_path / "call.wav").read_bytes() == body
        assert (info.etag, info.size_bytes) == (written.etag, len(body))
        assert [path.name for path in tmp_path.iterdir()] == ["call.wav"]

    def test_a_download_of_a_replaced_version_leaves_nothing(
        self, store: ObjectStore, uri: ObjectUri, tmp_path: Path
    ) -> None:
        stale = store.write(uri, b"version 1", "audio/wav")
        store.write(uri, b"version 2", "audio/wav")

        with pytest.raises(ConditionFailed):
            store.download(uri, tmp_path / "call.wav", etag=stale.etag)
        assert list(tmp_path.iterdir()) == []

    def test_a_list_has_what_lies_below_the_prefix_by_name(self, store: ObjectStore, harness: StoreHarness) -> None:
        for name in ("b.txt", "a/2.txt", "a.txt", "a/1.txt", "ab/1.txt", "a/b/3.txt", "a-b.txt"):
            store.write(harness.prefix.child(name), b"1", "text/plain")

        def names(prefix: str) -> list[str]:
            return [harness.prefix.relative(found) for found in store.list(harness.prefix.child(prefix))]

        assert names("a/") == ["a/1.txt", "a/2.txt", "a/b/3.txt"]
        assert names("") == ["a-b.txt", "a.txt", "a/1.txt", "a/2.txt", "a/b/3.txt", "ab/1.txt", "b.txt"]
        assert names("nothing/") == []

    @pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: name[:20])
    def test_odd_names_are_names(self, store: ObjectStore, harness: StoreHarness, name: str, tmp_path: Path) -> None:
        """Written by one name, read by what came of it as text."""
        uri = harness.prefix.child(name)
        written = store.write(uri, b"odd", "text/plain", IfAbsent())

        told = ObjectUri.parse(str(uri))

        assert store.read(told)[0] == b"odd"
        store.download(told, tmp_path / "odd", etag=written.etag)
        store.write(told, b"even", "text/plain", IfMatch(written.etag))
        store.delete(told)
        with pytest.raises(ObjectNotFound):
            store.head(uri)

    def test_a_reader_never_sees_half_a_write(self, store: ObjectStore, uri: ObjectUri) -> None:
        bodies = [bytes([n]) * (200_000 + n) for n in range(1, 4)]
        store.write(uri, bodies[0], "text/plain")
        writers = [threading.Thread(target=_write_often, args=(store, uri, body)) for body in bodies]
        for writer in writers:
            writer.start()

        seen = [store.read(uri) for _ in range(200)]

        for writer in writers:
            writer.join()
        assert all(body in bodies and info.size_bytes == len(body) for body, info in seen)

    def test_of_racing_creators_exactly_one_wins(self, harness: StoreHarness, uri: ObjectUri) -> None:
        winners = [name for name, won in _race(_create, harness, uri) if won]

        assert len(winners) == 1
        assert harness.opener(0)().read(uri)[0].decode() == winners[0]

    def test_racing_increments_lose_none(self, store: ObjectStore, harness: StoreHarness, uri: ObjectUri) -> None:
        store.write(uri, b"0", "text/plain", IfAbsent())

        _race(_increment, harness, uri)

        assert store.read(uri)[0] == b"%d" % (RACERS * INCREMENTS)


def _write_often(store: ObjectStore, uri: ObjectUri, body: bytes) -> None:
    for _ in range(10):
        store.write(uri, body, "text/plain")


def _race(racer: Callable[..., None], harness: StoreHarness, uri: ObjectUri) -> list[tuple[str, bool]]:
    """Run `racer` in processes that all start at once; what each said it was and whether it won."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(RACERS, timeout=JOIN_S)
    results: SimpleQueue[tuple[str, bool]] = context.SimpleQueue()
    processes = [
        context.Process(target=racer, args=(harness.opener(n), uri, start, results, n), daemon=True)
        for n in range(RACERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(JOIN_S)
    assert [process.exitcode for process in processes] == [0] * RACERS
    return [results.get() for _ in processes]


def _create(
    opener: Callable[[], ObjectStore], uri: ObjectUri, start: Barrier, results: "SimpleQueue[tuple[str, bool]]", n: int
) -> None:
    store, name = opener(), f"racer {n}"
    start.wait()
    try:
        store.write(uri, name.encode(), "text/plain", IfAbsent())
    except ConditionFailed:
        results.put((name, False))
    else:
        results.put((name, True))


def _increment(
    opener: Callable[[], ObjectStore], uri: ObjectUri, start: Barrier, results: "SimpleQueue[tuple[str, bool]]", n: int
) -> None:
    store, done = opener(), 0
    start.wait()
    while done < INCREMENTS:
        body, info = store.read(uri)
        try:
            store.write(uri, b"%d" % (int(body) + 1), "text/plain", IfMatch(info.etag))
        except ConditionFailed:
            continue
        done += 1
    results.put((f"racer {n}", True))
