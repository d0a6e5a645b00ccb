"""A service that fails or is not there: a hiccup is passed over, what lasts is told within bounds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.processes import until
from tests.integration.object_storage.bench import ATTEMPTS, BUCKET, EVERY, NAME, asked, make_access, use
from tests.oci_emulator.client import Emulator, emulator
from tests.oci_emulator.faults import FaultKind
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import IfAbsent, IfMatch
from transcriber_worker.storage.object_storage import ObjectStorageStore


class TestOutages:
    @EVERY
    @pytest.mark.parametrize(
        "answer",
        [
            {"status": 429, "code": "TooManyRequests"},
            {"status": 500},
            {"status": 502, "body": "<html>Bad gateway</html>", "headers": {"content-type": "text/html"}},
            {"status": 503, "code": "ServiceUnavailable"},
            {"status": 504, "body": ""},
        ],
        ids=lambda answer: str(answer["status"]),
    )
    def test_a_hiccup_is_passed_over(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str, answer: dict[str, object]
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(FaultKind.ANSWER, operation, times=ATTEMPTS - 1, **answer)  # type: ignore[arg-type]

        use(store, uri, operation)

        assert asked(emu, operation) == ATTEMPTS

    @EVERY
    def test_what_lasts_is_an_outage_and_told_soon(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str, clock: ManualClock
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(FaultKind.ANSWER, operation, times=None, status=503, code="ServiceUnavailable")
        before = clock.now()

        with pytest.raises(EnvironmentDown, match=f"{BUCKET}.*503") as down:
            use(store, uri, operation)

        assert down.value.part is PauseReason.STORAGE
        assert asked(emu, operation) == ATTEMPTS
        assert clock.now() - before < 20
        assert emu.get_object(BUCKET, NAME) == b"old"

    @EVERY
    def test_no_server_at_all_is_an_outage_until_it_is_back(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.down()

        try:
            with pytest.raises(EnvironmentDown, match="refused"):
                use(store, uri, operation)
        finally:
            emu.up()

        use(store, uri, operation)

    def test_ten_failures_do_not_shut_the_store_out(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        """As the SDK's circuit breaker would, for every client of the process and half a minute."""
        emu.put_object(BUCKET, NAME, b"1")
        emu.fault(FaultKind.ANSWER, "GetObject", times=12, status=503)
        for _ in range(12 // ATTEMPTS):
            with pytest.raises(EnvironmentDown):
                store.read(uri)

        assert store.read(uri)[0] == b"1"

    @EVERY
    @pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SLOW_HEADERS])
    def test_a_request_without_an_answer_is_sent_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str, kind: FaultKind
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(kind, operation, seconds=2.0)

        use(store, uri, operation)

        assert emu.fired() == [1]

    @pytest.mark.parametrize("kind", [FaultKind.RESET_NEXT, FaultKind.CLOSE_AFTER])
    def test_a_connection_that_ended_between_requests_is_no_matter(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, kind: FaultKind
    ) -> None:
        emu.fault(kind, "PutObject", times=3)

        for n in range(4):
            store.write(uri, b"%d" % n, "text/plain")

        assert emu.get_object(BUCKET, NAME) == b"3"

    def test_the_service_is_given_the_time_it_asks_for(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, clock: ManualClock
    ) -> None:
        emu.put_object(BUCKET, NAME, b"1")
        emu.fault(FaultKind.ANSWER, "GetObject", status=429, headers={"retry-after": "7"})
        before = clock.now()

        store.read(uri)

        assert clock.now() - before >= 7

    def test_more_time_than_a_call_may_take_is_an_outage_at_once(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, clock: ManualClock
    ) -> None:
        emu.put_object(BUCKET, NAME, b"1")
        emu.fault(FaultKind.ANSWER, "GetObject", status=429, headers={"retry-after": "120"})
        before = clock.now()

        with pytest.raises(EnvironmentDown, match="429"):
            store.read(uri)

        assert clock.now() == before

    @pytest.mark.parametrize("body", ["", "<html>welcome</html>", "{}"])
    def test_a_list_that_is_none_is_not_an_empty_one(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, body: str
    ) -> None:
        """A captive portal's page must not prove that no job record exists."""
        emu.put_object(BUCKET, NAME, b"1")
        emu.fault(FaultKind.ANSWER, "ListObjects", times=None, status=200, body=body)

        with pytest.raises(EnvironmentDown):
            use(store, uri, "ListObjects")

        emu.clear_faults()
        assert use(store, uri, "ListObjects") == [uri]

    def test_an_answer_without_a_version_is_no_object(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "*", times=None, status=200, body="<html>welcome</html>")

        for operation in ("HeadObject", "GetObject", "PutObject"):
            with pytest.raises(EnvironmentDown):
                use(store, uri, operation)


class TestRestarts:
    def test_a_store_that_is_killed_and_comes_back_loses_nothing(self, tmp_path: Path, clock: ManualClock) -> None:
        """One writer counts by conditional writes: what it was told is done is there, and nothing is there twice."""
        counted, stop = [0], threading.Event()

        def count(store: ObjectStorageStore, uri: ObjectUri) -> None:
            while not stop.is_set():
                try:
                    body, info = store.read(uri)
                    assert int(body) in (counted[-1], counted[-1] + 1)
                    store.write(uri, b"%d" % (int(body) + 1), "text/plain", IfMatch(info.etag))
                    counted.append(int(body) + 1)
                except EnvironmentDown:
                    continue

        with emulator(tmp_path / "state") as emu, ThreadPoolExecutor(1) as threads:
            emu.create_bucket(BUCKET)
            uri = ObjectUri("oci", f"{BUCKET}@{emu.namespace}", NAME)
            store = ObjectStorageStore(make_access(emu, tmp_path, clock), clock, 1200.0)
            store.write(uri, b"0", "text/plain", IfAbsent())
            counter = threads.submit(count, store, uri)
            try:
                for _ in range(3):
                    goal = counted[-1] + 5
                    until(lambda goal=goal: counted[-1] >= goal or counter.done(), "it counts on")  # type: ignore[misc]
                    emu.kill()
                    emu.restart()
                    emu.write_sdk_config(tmp_path / "again")
            finally:
                stop.set()
            counter.result()

            assert int(emu.get_object(BUCKET, NAME)) in (counted[-1], counted[-1] + 1)
        assert counted == sorted(set(counted))
