"""A service that refuses: who the worker is, what it may do, or that there is any such thing."""

from pathlib import Path

import pytest

from tests.integration.object_storage.bench import BODY, BUCKET, EVERY, NAME, asked, make_access, use
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.settings import OciAuth
from transcriber_worker.storage import object_storage
from transcriber_worker.storage.base import ConditionFailed, IfMatch, ObjectNotFound
from transcriber_worker.storage.object_storage import ObjectStorageStore


@pytest.mark.parametrize(
    "body",
    ["null", '{"objects": [null]}', '{"objects": [{}]}', '{"objects": [{"name": 5}]}', '{"objects": "x"}'],
)
def test_a_list_that_is_none_is_an_outage(emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, body: str) -> None:
    emu.fault(FaultKind.ANSWER, "ListObjects", times=None, status=200, body=body)

    with pytest.raises(EnvironmentDown, match="no list"):
        use(store, uri, "ListObjects")


def test_a_list_that_does_not_go_on_is_an_outage(emu: Emulator, store: ObjectStorageStore, uri: ObjectUri) -> None:
    """And no endless one."""
    page = '{"objects": [{"name": "a"}], "nextStartWith": "a"}'
    emu.fault(FaultKind.ANSWER, "ListObjects", times=20, status=200, body=page)

    with pytest.raises(EnvironmentDown, match="no list"):
        use(store, uri, "ListObjects")


def test_a_range_that_was_not_asked_for_is_refused_as_a_request(
    emu: Emulator, store: ObjectStorageStore, uri: ObjectUri
) -> None:
    emu.put_object(BUCKET, NAME, b"old")
    emu.fault(FaultKind.ANSWER, "GetObject", times=None, status=416, code="InvalidRange")

    with pytest.raises(RetryJob, match="416"):
        store.read(uri)


def test_what_is_too_large_for_a_record_is_not_read_into_memory(
    emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may put objects where transcripts go could end every worker that looks there."""
    monkeypatch.setattr(object_storage, "LARGEST_READ_BYTES", 1000)
    emu.put_object(BUCKET, NAME, bytes(1000))
    assert len(store.read(uri)[0]) == 1000
    emu.put_object(BUCKET, NAME, bytes(1001))

    with pytest.raises(RejectJob, match="1001 bytes"):
        store.read(uri)


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
        store = ObjectStorageStore(make_access(emu, tmp_path / "elsewhere", clock, config_file=config), clock, 1200.0)
        with pytest.raises(EnvironmentDown):
            store.write(uri, b"1", "text/plain")

        emu.write_sdk_config(tmp_path / "oci")

        store.write(uri, b"1", "text/plain")

    def test_a_session_token_that_ended_is_read_again(
        self, emu: Emulator, uri: ObjectUri, clock: ManualClock, tmp_path: Path
    ) -> None:
        config = emu.write_session_config(tmp_path / "oci", expires_in_s=600)
        access = make_access(emu, tmp_path / "elsewhere", clock, config_file=config, auth=OciAuth.SESSION_TOKEN)
        store = ObjectStorageStore(access, clock, 1200.0)
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
        emu.fault(FaultKind.ANSWER, times=2, status=404, code="BucketNotFound")

        use(store, uri, operation)

        assert emu.fired() == [2]

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
