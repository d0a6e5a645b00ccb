"""Whatever goes wrong between the worker and Object Storage: nothing is lost, nothing is half written, and the worker
learns what to do next. The real SDK over real HTTP; only the pauses between tries are a manual clock's."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oci_emulator.client import Emulator, emulator
from tests.oci_emulator.faults import Effect, FaultKind
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciAuth, OciSettings
from transcriber_worker.storage.base import Condition, ConditionFailed, IfAbsent, IfMatch, ObjectNotFound
from transcriber_worker.storage.object_storage import ABSENCES, READS, ObjectStorageStore
from transcriber_worker.storage.object_storage_download import BARREN_ATTEMPTS, RESTARTS

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


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with emulator() as server:
        yield server


@pytest.fixture
def emu(server: Emulator) -> Emulator:
    server.reset()
    server.create_bucket(BUCKET)
    return server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


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


@pytest.fixture
def store(emu: Emulator, clock: ManualClock, tmp_path: Path) -> ObjectStorageStore:
    return ObjectStorageStore(make_access(emu, tmp_path, clock), clock)


@pytest.fixture
def uri(emu: Emulator) -> ObjectUri:
    return ObjectUri("oci", f"{BUCKET}@{emu.namespace}", NAME)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def use(store: ObjectStorageStore, uri: ObjectUri, operation: str) -> object:
    return {**READING, **CHANGING}[operation](store, uri)


def asked(emu: Emulator, operation: str) -> int:
    return emu.counts().get(operation, 0)


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

    @pytest.mark.parametrize("operation", [*READING, *CHANGING])
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


class TestCredentials:
    @EVERY
    def test_a_refusal_has_them_read_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(FaultKind.ANSWER, operation, status=401, code="NotAuthenticated")

        use(store, uri, operation)

        assert asked(emu, operation) == 2

    def test_a_write_that_was_refused_arrives_whole(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        """The SDK sends the same body again after a refusal: a file would be at its end, and the object empty."""
        emu.fault(FaultKind.ANSWER, "PutObject", status=401, code="NotAuthenticated")

        store.write(uri, BODY, "audio/wav")

        assert emu.get_object(BUCKET, NAME) == BODY

    @EVERY
    def test_a_refusal_that_lasts_pauses_for_the_credentials(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(FaultKind.ANSWER, operation, times=None, status=401, code="NotAuthenticated")

        with pytest.raises(EnvironmentDown, match=r"oci\.auth.*clock") as down:
            use(store, uri, operation)

        assert down.value.part is PauseReason.CREDENTIALS
        assert asked(emu, operation) == 2

    def test_a_key_that_was_replaced_is_found(
        self, emu: Emulator, uri: ObjectUri, clock: ManualClock, tmp_path: Path
    ) -> None:
        config = emu.write_sdk_config(tmp_path / "oci", known=False)
        store = ObjectStorageStore(make_access(emu, tmp_path / "elsewhere", clock, config_file=config), clock)
        with pytest.raises(EnvironmentDown):
            store.write(uri, b"1", "text/plain")

        emu.write_sdk_config(tmp_path / "oci")

        store.write(uri, b"1", "text/plain")

    def test_a_session_token_that_ended_is_read_again(
        self, emu: Emulator, uri: ObjectUri, clock: ManualClock, tmp_path: Path
    ) -> None:
        config = emu.write_session_config(tmp_path / "oci", expires_in_s=600)
        access = make_access(emu, tmp_path / "elsewhere", clock, config_file=config, auth=OciAuth.SESSION_TOKEN)
        store = ObjectStorageStore(access, clock)
        store.write(uri, b"1", "text/plain")
        emu.advance(601)
        with pytest.raises(EnvironmentDown) as down:
            store.write(uri, b"2", "text/plain")
        assert down.value.part is PauseReason.CREDENTIALS

        emu.write_session_config(tmp_path / "oci", expires_in_s=600)  # as `oci session refresh` does

        store.write(uri, b"3", "text/plain")
        assert emu.get_object(BUCKET, NAME) == b"3"


class TestAbsences:
    @EVERY
    def test_a_bucket_that_vanishes_for_a_moment_is_still_there(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str
    ) -> None:
        emu.put_object(BUCKET, NAME, b"old")
        emu.fault(FaultKind.ANSWER, times=ABSENCES - 1, status=404, code="BucketNotFound")

        use(store, uri, operation)

        assert emu.fired() == [ABSENCES - 1]

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    def test_a_missing_object_is_asked_for_once(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str, clock: ManualClock
    ) -> None:
        before = clock.now()

        with pytest.raises(ObjectNotFound):
            use(store, uri, operation)

        assert asked(emu, operation) == 1
        assert clock.now() == before

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    def test_an_object_of_a_missing_bucket_is_not_found(
        self, emu: Emulator, store: ObjectStorageStore, operation: str
    ) -> None:
        with pytest.raises(ObjectNotFound):
            use(store, ObjectUri("oci", f"nowhere@{emu.namespace}", NAME), operation)

    @pytest.mark.parametrize(
        ("operation", "permission"),
        [("PutObject", "manage objects"), ("DeleteObject", "manage objects"), ("ListObjects", "inspect objects")],
    )
    @pytest.mark.parametrize(("status", "code"), [(404, "BucketNotFound"), (403, "NotAllowed")])
    def test_a_change_that_is_not_allowed_names_the_bucket_and_the_permission(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, operation: str, permission: str,
        status: int, code: str,
    ) -> None:  # fmt: skip
        emu.fault(FaultKind.ANSWER, operation, times=None, status=status, code=code)

        with pytest.raises(EnvironmentDown, match=f"{BUCKET}.*{permission}"):
            use(store, uri, operation)

    def test_a_replacement_of_what_is_gone_has_failed(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "PutObject", status=404, code="ObjectNotFound")

        with pytest.raises(ConditionFailed):
            store.write(uri, b"1", "text/plain", IfMatch("gone"))

    def test_a_name_that_the_service_refuses(self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri) -> None:
        long = ObjectUri(uri.scheme, uri.authority, "x" * 2000)

        with pytest.raises(ObjectNotFound):
            store.read(long)
        with pytest.raises(RejectJob) as refused:
            store.write(long, b"1", "text/plain")
        assert refused.value.reason is Reason.OUTPUT_NOT_ALLOWED

    def test_another_refusal_is_the_job_s_within_its_bound(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
    ) -> None:
        emu.fault(FaultKind.ANSWER, "PutObject", status=400, code="InvalidParameter")

        with pytest.raises(RetryJob):
            store.write(uri, b"1", "text/plain")


class TestReads:
    @pytest.mark.parametrize(
        "kind", [FaultKind.RESET_BODY, FaultKind.FIN_BODY, FaultKind.STALL, FaultKind.CORRUPT, FaultKind.GZIP]
    )
    def test_a_broken_body_is_read_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, kind: FaultKind
    ) -> None:
        emu.put_object(BUCKET, NAME, BODY)
        emu.fault(kind, "GetObject", times=READS - 1, at_bytes=1000, seconds=3.0)

        assert store.read(uri)[0] == BODY
        assert emu.fired() == [READS - 1]

    def test_one_that_stays_broken_is_an_outage(self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri) -> None:
        emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.CORRUPT, "GetObject", times=None, at_bytes=1000)

        with pytest.raises(EnvironmentDown, match="whole"):
            store.read(uri)


class TestDownloads:
    @pytest.mark.parametrize("kind", [FaultKind.RESET_BODY, FaultKind.FIN_BODY, FaultKind.STALL])
    def test_a_broken_body_is_gone_on_with_where_it_broke(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path, kind: FaultKind
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(kind, "GetObject", times=2, at_bytes=300_000, seconds=3.0)

        info = store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_bytes() == BODY
        assert (info.etag, info.size_bytes) == (etag, len(BODY))
        ranges = [request["headers"].get("range") for request in emu.requests()]
        assert ranges[0] is None
        assert all(begin and int(begin.removeprefix("bytes=").rstrip("-")) > 100_000 for begin in ranges[1:])

    def test_many_breaks_are_no_matter_while_there_is_progress(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        body = BODY * 8
        etag = emu.put_object(BUCKET, NAME, body)
        emu.fault(FaultKind.FIN_BODY, "GetObject", times=3 * BARREN_ATTEMPTS, at_bytes=600_000)

        store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_bytes() == body
        assert emu.fired() == [3 * BARREN_ATTEMPTS]

    def test_breaks_without_progress_end_it(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.FIN_BODY, "GetObject", times=None, at_bytes=1000)

        with pytest.raises(EnvironmentDown, match="again and again"):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert asked(emu, "GetObject") == BARREN_ATTEMPTS
        assert list(scratch.iterdir()) == []

    def test_a_byte_now_and_then_is_no_progress(
        self, emu: Emulator, uri: ObjectUri, scratch: Path, tmp_path: Path
    ) -> None:
        """Each arrives within the read timeout, so only the rate tells; a second of this clock is an hour."""
        clock = _HurriedClock()
        store = ObjectStorageStore(make_access(emu, tmp_path, clock), clock)
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.DRIP, "GetObject", times=None, at_bytes=10, seconds=0.02)

        with pytest.raises(EnvironmentDown, match=r"only \d+ bytes in"):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert list(scratch.iterdir()) == []

    @pytest.mark.parametrize("off", [-1000, 1000])
    def test_a_wrong_length_is_found_out(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path, off: int
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.WRONG_LENGTH, "GetObject", at_bytes=off)

        store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_bytes() == BODY

    @pytest.mark.parametrize(("kind", "at"), [(FaultKind.CORRUPT, 5000), (FaultKind.GZIP, 0)])
    def test_other_bytes_than_the_object_s_are_fetched_anew(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path, kind: FaultKind, at: int
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(kind, "GetObject", at_bytes=at)

        store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_bytes() == BODY
        assert asked(emu, "GetObject") == 2

    def test_bytes_that_stay_wrong_are_an_outage(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.CORRUPT, "GetObject", times=None, at_bytes=5000)

        with pytest.raises(EnvironmentDown, match="checksum"):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert asked(emu, "GetObject") == RESTARTS + 1
        assert list(scratch.iterdir()) == []

    def test_without_a_checksum_the_size_has_to_do(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.NO_MD5, "GetObject", times=None)
        emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=300_000)

        store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_bytes() == BODY

    def test_a_server_that_knows_no_ranges_sends_it_all_again(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        text = "words " * 1000
        etag = emu.put_object(BUCKET, NAME, text.encode())
        whole = {"etag": etag, "last-modified": "Sat, 21 Nov 2026 06:00:00 GMT", "content-type": "audio/wav"}
        emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=1000)
        emu.fault(FaultKind.ANSWER, "GetObject", skip=0, status=200, body=text, headers=whole)

        store.download(uri, scratch / "call.wav", etag=etag)

        assert (scratch / "call.wav").read_text() == text
        assert asked(emu, "GetObject") == 2

    @pytest.mark.parametrize(
        ("then", "consequence"), [(Effect.REPLACE, ConditionFailed), (Effect.DELETE, ObjectNotFound)]
    )
    def test_an_object_that_changes_meanwhile_is_not_mixed(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path, then: Effect,
        consequence: type[Exception],
    ) -> None:  # fmt: skip
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=300_000, then=then)

        with pytest.raises(consequence):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert list(scratch.iterdir()) == []

    def test_an_archived_object_is_to_be_restored_first(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY, {"storage-tier": "Archive"})

        with pytest.raises(RejectJob, match="restore") as rejected:
            store.download(uri, scratch / "call.wav", etag=etag)

        assert rejected.value.reason is Reason.SOURCE_NOT_FOUND

    def test_a_store_that_is_down_is_not_asked_for_ever(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=300_000)
        emu.fault(FaultKind.ANSWER, "GetObject", times=None, status=503)

        with pytest.raises(EnvironmentDown, match="503"):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert asked(emu, "GetObject") == 1 + ATTEMPTS
        assert list(scratch.iterdir()) == []

    def test_a_full_disk_is_the_scratch_s_fault(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, hard))

        try:
            with pytest.raises(EnvironmentDown) as down:
                store.download(uri, scratch / "call.wav", etag=etag)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert down.value.part is PauseReason.SCRATCH
        assert list(scratch.iterdir()) == []

    def test_a_missing_scratch_is_too(
        self, emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
    ) -> None:
        etag = emu.put_object(BUCKET, NAME, BODY)

        with pytest.raises(EnvironmentDown) as down:
            store.download(uri, scratch / "gone" / "call.wav", etag=etag)

        assert down.value.part is PauseReason.SCRATCH


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


class _HurriedClock(ManualClock):
    """A second of it passes with every look."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()
