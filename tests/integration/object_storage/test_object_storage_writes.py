"""Writes whose answers are lost, times, and lists."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.object_storage.bench import BODY, BUCKET, NAME, asked, make_access
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import Condition, ConditionFailed, IfAbsent, IfMatch
from transcriber_worker.storage.object_storage import LARGE_BYTES, LARGE_UPLOAD_S, SILENCE_S, ObjectStorageStore


class TestLostAnswers:
    @pytest.mark.parametrize(("kind", "status"), [(FaultKind.ANSWER, 500), (FaultKind.RESET, 0)])
    @pytest.mark.parametrize("there", [True, False])
    def test_a_conditional_write_whose_answer_was_lost_has_won(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, kind: FaultKind, status: int, there: bool
    ) -> None:
        condition = IfMatch(store.write(uri, b"old", "text/plain").etag) if there else IfAbsent()
        emu.fault(kind, "PutObject", status=status, committed=True)

        written = store.write(uri, b"mine", "text/plain", condition)

        assert emu.fired() == [1]
        assert store.read(uri) == (b"mine", store.head(uri))
        assert written.etag == store.head(uri).etag
        assert written.size_bytes == 4

    def test_the_same_words_of_somebody_else_are_no_win(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.put_object(BUCKET, NAME, b"mine")

        with pytest.raises(ConditionFailed):
            store.write(uri, b"mine", "text/plain", IfAbsent())

    def test_an_answer_that_stays_lost_is_an_outage_and_the_object_whole(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "PutObject", times=None, status=500, committed=True)

        with pytest.raises(EnvironmentDown):
            store.write(uri, BODY, "audio/wav")

        assert emu.get_object(BUCKET, NAME) == BODY

    def test_a_conditional_delete_whose_answer_was_lost_is_done(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        written = store.write(uri, b"1", "text/plain")
        emu.fault(FaultKind.ANSWER, "DeleteObject", status=500, committed=True)

        store.delete(uri, IfMatch(written.etag))

        assert emu.list_objects(BUCKET) == []

    def test_a_write_that_meets_another_is_sent_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "PutObject", status=409, code="ConcurrentObjectUpdate")

        store.write(uri, b"1", "text/plain", IfAbsent())

        assert emu.get_object(BUCKET, NAME) == b"1"

    def test_a_write_that_always_meets_another_is_an_outage_while_its_condition_holds(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        """A condition that had failed would have its reader read, decide, and try for ever."""
        seen = store.write(uri, b"1", "text/plain")
        emu.fault(FaultKind.ANSWER, "PutObject", times=None, status=409, code="ConcurrentObjectUpdate")

        conditions: dict[Condition, type[Exception]] = {
            None: EnvironmentDown,
            IfMatch(seen.etag): EnvironmentDown,
            IfAbsent(): ConditionFailed,
            IfMatch("another"): ConditionFailed,
        }
        for condition, consequence in conditions.items():
            with pytest.raises(consequence):
                store.write(uri, b"2", "text/plain", condition)
        assert emu.get_object(BUCKET, NAME) == b"1"

    def test_a_body_damaged_on_its_way_is_sent_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "PutObject", status=400, code="UnmatchedContentMD5")

        store.write(uri, b"1", "text/plain")

        assert emu.get_object(BUCKET, NAME) == b"1"


class TestClients:
    def test_each_kind_of_call_has_its_own_patience(
        self, emu: Emulator, uri: ObjectUri, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The HTTP library holds the whole of an upload against the timeout for connecting: a long transcript would
        never get through in that."""
        access = make_access(emu, tmp_path, clock)
        make, made = access.object_storage, []

        def note(**patience: float) -> object:
            made.append(patience)
            return make(**patience)

        monkeypatch.setattr(access, "object_storage", note)
        store = ObjectStorageStore(access, clock, 1200.0)

        etag = store.write(uri, bytes(LARGE_BYTES + 1), "application/json").etag
        store.download(uri, tmp_path / "call.wav", etag=etag)
        store.write(uri, bytes(LARGE_BYTES), "application/json", IfMatch(etag))
        store.read(uri)

        assert made == [{"upload_s": LARGE_UPLOAD_S}, {}, {"longest_silence_s": SILENCE_S}]

    def test_many_threads_share_a_store(self, store: ObjectStorageStore, uri: ObjectUri, scratch: Path) -> None:
        """The SDK closes its connections after each lost race, under everybody's feet."""
        shared = ObjectUri(uri.scheme, uri.authority, "shared")
        etag = store.write(shared, BODY, "audio/wav").etag

        def work(thread: int) -> int:
            lost = 0
            for n in range(20):
                store.download(shared, scratch / f"{thread}-{n}", etag=etag)
                try:
                    store.write(ObjectUri(uri.scheme, uri.authority, f"race-{n}"), b"1", "text/plain", IfAbsent())
                except ConditionFailed:
                    lost += 1
            return lost

        with ThreadPoolExecutor(8) as threads:
            lost = sum(threads.map(work, range(8)))

        assert lost == 7 * 20
        assert all(path.read_bytes() == BODY for path in scratch.iterdir())


class TestTimes:
    def test_a_version_s_age_goes_by_the_store_s_clock(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        written = store.write(uri, b"1", "text/plain")

        emu.advance(3600)

        seen = store.head(uri)
        assert seen.modified_at == written.modified_at
        assert 3600 <= seen.observed_at - seen.modified_at <= 3660
        assert store.read(uri)[1].observed_at >= seen.observed_at


class TestLists:
    def test_every_page_is_turned(self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri) -> None:
        names = [f"many/{n:04}" for n in range(2345)]
        for name in names:
            emu.put_object(BUCKET, name, b"")

        found = store.list(ObjectUri(uri.scheme, uri.authority, "many/"))

        assert next(found).key == names[0]
        assert asked(emu, "ListObjects") == 1
        assert [uri.key for uri in found] == names[1:]

    def test_what_is_no_object_to_us_is_left_out(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        """Folder markers, and names that no URI can tell."""
        for name in ("day/", "day/../secret", "day/call.wav", "day/call.wav2", "day2/x"):
            emu.put_object(BUCKET, name, b"")

        assert list(store.list(ObjectUri(uri.scheme, uri.authority, "day/"))) == [
            uri,
            ObjectUri(uri.scheme, uri.authority, "day/call.wav2"),
        ]
        assert list(store.list(uri)) == [uri]
