"""Bodies that break, trickle or are not the object's: the file is right, or not there at all."""

import resource
from pathlib import Path

import pytest

from tests.integration.object_storage.bench import ATTEMPTS, BODY, BUCKET, NAME, asked, make_access
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import Effect, FaultKind
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ConditionFailed, ObjectNotFound
from transcriber_worker.storage.object_storage import READS, ObjectStorageStore
from transcriber_worker.storage.object_storage_download import BARREN_ATTEMPTS, RESTARTS


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
        store = ObjectStorageStore(make_access(emu, tmp_path, clock), clock, float("inf"))
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.DRIP, "GetObject", times=None, at_bytes=10, seconds=0.02)

        with pytest.raises(EnvironmentDown, match=r"only \d+ bytes in"):
            store.download(uri, scratch / "call.wav", etag=etag)

        assert list(scratch.iterdir()) == []

    def test_one_that_takes_too_long_in_all_is_charged(
        self, emu: Emulator, uri: ObjectUri, scratch: Path, tmp_path: Path
    ) -> None:
        clock = _HurriedClock()
        store = ObjectStorageStore(make_access(emu, tmp_path, clock), clock, 1.0)
        etag = emu.put_object(BUCKET, NAME, BODY)
        emu.fault(FaultKind.DRIP, "GetObject", at_bytes=10, seconds=0.02)

        with pytest.raises(RetryJob, match="took longer"):
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


class _HurriedClock(ManualClock):
    """A second of it passes with every look."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def test_bytes_that_came_before_a_restart_are_no_progress(
    emu: Emulator, store: ObjectStorageStore, uri: ObjectUri, scratch: Path
) -> None:
    """Else a download whose rest is refused each time begins anew without end."""
    etag = emu.put_object(BUCKET, NAME, BODY)
    for number in range(20):
        emu.fault(FaultKind.ANSWER, "GetObject", skip=1 + number, status=416, code="InvalidRange")
    emu.fault(FaultKind.RESET_BODY, "GetObject", times=None, at_bytes=600_000)

    with pytest.raises(EnvironmentDown, match="breaks again and again"):
        store.download(uri, scratch / "source", etag=etag)
    assert asked(emu, "GetObject") < 20
