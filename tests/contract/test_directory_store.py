"""The directory store keeps the contract, and what only it promises."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

import pytest

from tests.contract.store_contract import StoreContract
from transcriber_worker.domain.clock import ManualClock, SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.files import durable
from transcriber_worker.storage import directory, file_copy
from transcriber_worker.storage.base import ConditionFailed, IfAbsent, IfMatch, ObjectNotFound, ObjectStore
from transcriber_worker.storage.directory import WORKSHOP, DirectoryStore


@dataclass
class DirectoryHarness:
    """Every second process knows the objects by a root that is nested deeper: both must meet at one lock."""

    prefix: ObjectUri

    def opener(self, process: int) -> Callable[[], ObjectStore]:
        roots = (self.prefix, self.prefix.child("calls/"))
        return partial(_open, roots[process % 2 :])


def _open(roots: tuple[ObjectUri, ...]) -> ObjectStore:
    return DirectoryStore(SystemClock(), 60.0, roots)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(root: Path, clock: ManualClock) -> DirectoryStore:
    return DirectoryStore(clock, 5.0, [ObjectUri.from_path(root, prefix=True)])


@pytest.fixture
def uri(root: Path) -> ObjectUri:
    return ObjectUri.from_path(root / "call.wav")


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path_factory: pytest.TempPathFactory) -> DirectoryHarness:
        return DirectoryHarness(ObjectUri.from_path(tmp_path_factory.mktemp("objects"), prefix=True))


class TestRoots:
    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        path = tmp_path / "secret.wav"
        path.write_bytes(b"secret")
        return path

    def test_a_path_outside_is_refused(self, store: DirectoryStore, secret: Path) -> None:
        for access in (store.head, store.read):
            with pytest.raises(RejectJob) as refused:
                access(ObjectUri.from_path(secret))
            assert refused.value.reason is Reason.SOURCE_NOT_ALLOWED

    def test_a_root_that_is_no_directory_any_more_is_no_jobs_fault(
        self, store: DirectoryStore, root: Path, uri: ObjectUri
    ) -> None:
        root.write_bytes(b"a file where the output was mounted")

        with pytest.raises(EnvironmentDown, match="no directory"):
            store.write(uri, b"1", "text/plain")

    def test_a_neighbour_whose_name_begins_alike_is_outside(self, store: DirectoryStore, root: Path) -> None:
        neighbour = root.with_name("objects-of-others")
        neighbour.mkdir()
        (neighbour / "a.wav").write_bytes(b"1")

        with pytest.raises(RejectJob):
            store.read(ObjectUri.from_path(neighbour / "a.wav"))

    def test_a_link_that_leaves_is_refused(self, store: DirectoryStore, root: Path, secret: Path) -> None:
        root.mkdir()
        (root / "call.wav").symlink_to(secret)
        (root / "calls").symlink_to(secret.parent)

        for name in ("call.wav", "calls/secret.wav"):
            with pytest.raises(RejectJob) as refused:
                store.read(ObjectUri.from_path(root / name))
            assert refused.value.reason is Reason.SOURCE_NOT_ALLOWED

    def test_a_link_that_leaves_is_not_written_through(self, store: DirectoryStore, root: Path, secret: Path) -> None:
        root.mkdir()
        (root / "call.wav").symlink_to(secret)

        for change in (lambda uri: store.write(uri, b"mine", "audio/wav"), store.delete):
            with pytest.raises(RejectJob) as refused:
                change(ObjectUri.from_path(root / "call.wav"))
            assert refused.value.reason is Reason.OUTPUT_NOT_ALLOWED
        assert secret.read_bytes() == b"secret"

    def test_a_link_that_stays_is_followed(self, store: DirectoryStore, root: Path) -> None:
        root.mkdir()
        (root / "real.wav").write_bytes(b"real")
        (root / "call.wav").symlink_to("real.wav")

        assert store.read(ObjectUri.from_path(root / "call.wav"))[0] == b"real"

    def test_a_root_may_be_reached_through_a_link(self, tmp_path: Path, secret: Path, clock: ManualClock) -> None:
        (tmp_path / "alias").symlink_to(tmp_path, target_is_directory=True)
        store = DirectoryStore(clock, 5.0, [ObjectUri.from_path(tmp_path / "alias", prefix=True)])

        assert store.read(ObjectUri.from_path(tmp_path / "alias" / "secret.wav"))[0] == b"secret"

    def test_a_root_may_be_one_file(self, tmp_path: Path, secret: Path, clock: ManualClock) -> None:
        store = DirectoryStore(clock, 5.0, [ObjectUri.from_path(secret)])

        assert store.read(ObjectUri.from_path(secret))[0] == b"secret"
        with pytest.raises(RejectJob):
            store.head(ObjectUri.from_path(tmp_path / "other.wav"))


class TestVersions:
    def test_a_file_that_somebody_made_has_one_too(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        root.mkdir()
        (root / "call.wav").write_bytes(b"1")
        first = store.head(uri)

        os.utime(root / "call.wav", ns=(1, 1_700_000_000_123_456_789))

        assert store.head(uri).etag != first.etag
        assert store.head(uri).modified_at == pytest.approx(1_700_000_000.123)

    def test_writes_of_one_instant_differ(self, store: DirectoryStore, uri: ObjectUri) -> None:
        """The clock stands still and the size stays: nothing but the store makes them differ."""
        etags = {store.write(uri, b"12345", "text/plain").etag for _ in range(300)}

        assert len(etags) == 300

    def test_a_version_carries_the_clock_s_time(
        self, store: DirectoryStore, uri: ObjectUri, clock: ManualClock
    ) -> None:
        clock.advance(1234.5)

        info = store.write(uri, b"1", "text/plain")

        assert info.modified_at == pytest.approx(clock.now(), abs=1e-5)
        assert info.observed_at == clock.now()

    def test_a_clock_that_stepped_back_is_believed(
        self, store: DirectoryStore, uri: ObjectUri, clock: ManualClock
    ) -> None:
        """Leases go by the modification time: it must not stay in the future for one wrong write."""
        store.write(uri, b"1", "text/plain")
        clock.advance(-3600)

        assert store.write(uri, b"2", "text/plain").modified_at == pytest.approx(clock.now(), abs=1e-5)

    def test_a_file_system_without_fine_times_is_refused(
        self, store: DirectoryStore, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        utime = os.utime
        monkeypatch.setattr(os, "utime", lambda path, ns: utime(path, ns=(ns[0], ns[1] // 10**9 * 10**9)))

        with pytest.raises(EnvironmentDown, match="nanoseconds"):
            store.write(uri, b"1", "text/plain")


class TestLocks:
    def test_a_lock_held_too_long_is_the_environment_s_trouble(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, clock: ManualClock
    ) -> None:
        first = store.write(uri, b"1", "text/plain")
        (lock,) = (root / WORKSHOP).glob("lock-*")
        before = clock.now()

        with lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for change in (
                lambda: store.write(uri, b"2", "text/plain", IfMatch(first.etag)),
                lambda: store.write(uri, b"2", "text/plain"),
                lambda: store.delete(uri),
            ):
                with pytest.raises(EnvironmentDown, match=str(lock)):
                    change()

        assert 15.0 <= clock.now() - before <= 15.2
        assert store.read(uri)[0] == b"1"
        assert list((root / WORKSHOP).glob("*.tmp")) == []
        store.write(uri, b"2", "text/plain", IfMatch(first.etag))

    def test_a_killed_holder_holds_nothing(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        store.write(uri, b"1", "text/plain")
        (lock,) = (root / WORKSHOP).glob("lock-*")
        hold = (
            "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            holder.send_signal(signal.SIGKILL)

        assert store.write(uri, b"2", "text/plain").size_bytes == 1

    def test_readers_need_no_lock(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        store.write(uri, b"1", "text/plain")
        (lock,) = (root / WORKSHOP).glob("lock-*")

        with lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)

            assert store.read(uri)[0] == b"1"


class TestDurability:
    def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_answer(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(uri, b"1", "text/plain")
        synced, fsync = [], os.fsync

        def record(descriptor: int) -> None:
            fsync(descriptor)
            synced.append(
                (Path(f"/proc/self/fd/{descriptor}").readlink().parent.name, (root / "call.wav").read_bytes())
            )

        monkeypatch.setattr(os, "fsync", record)
        store.write(uri, b"2", "text/plain")

        assert synced == [(WORKSHOP, b"1"), (root.parent.name, b"2")]


class TestUnfinishedWrites:
    def test_what_a_killed_writer_left_goes_after_an_hour(self, root: Path, clock: ManualClock, uri: ObjectUri) -> None:
        workshop = root / WORKSHOP
        workshop.mkdir(parents=True)
        for name, age_s in (("old.tmp", 3700), ("young.tmp", 3500)):
            (workshop / name).write_bytes(b"half")
            os.utime(workshop / name, (clock.now() - age_s,) * 2)

        DirectoryStore(clock, 5.0, [ObjectUri.from_path(root, prefix=True)]).write(uri, b"1", "text/plain")

        assert [path.name for path in workshop.glob("*.tmp")] == ["young.tmp"]

    def test_a_refused_write_leaves_nothing(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        """Also where the object appears only after the write began."""
        store.write(ObjectUri.from_path(root / "other"), b"1", "text/plain")
        write_synced = durable.write_synced

        def write_meanwhile(path: Path, body: bytes) -> None:
            write_synced(path, body)
            (root / "call.wav").write_bytes(b"theirs")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(directory, "write_synced", write_meanwhile)
            with pytest.raises(ConditionFailed):
                store.write(uri, b"mine", "text/plain", IfAbsent())

        assert (root / "call.wav").read_bytes() == b"theirs"
        assert list((root / WORKSHOP).glob("*.tmp")) == []

    def test_private_names_are_not_listed(self, store: DirectoryStore, root: Path) -> None:
        prefix = ObjectUri.from_path(root, prefix=True)
        for name in ("call.json", ".state/records/1.json", "calls/.hidden"):
            store.write(prefix.child(name), b"1", "text/plain")

        assert [prefix.relative(uri) for uri in store.list(prefix)] == ["call.json"]
        private = prefix.child(".state/")
        assert [private.relative(uri) for uri in store.list(private)] == ["records/1.json"]

    def test_names_that_no_uri_can_tell_are_not_listed(self, store: DirectoryStore, root: Path) -> None:
        root.mkdir()
        for name in (b"line\nbreak.wav", b"latin\xe9.wav", b"fine.wav"):
            (root / os.fsdecode(name)).write_bytes(b"1")

        assert [uri.basename for uri in store.list(ObjectUri.from_path(root, prefix=True))] == ["fine.wav"]


class TestReads:
    def test_a_file_that_is_written_to_meanwhile_is_read_again_later(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else's file: what we write appears as a whole."""
        store.write(uri, b"1", "text/plain")

        class Growing(FileIO):
            def readall(self) -> bytes:
                with (root / "call.wav").open("ab") as growing:
                    growing.write(b"2")
                return super().readall()

        monkeypatch.setattr(directory, "FileIO", Growing)
        with pytest.raises(RetryJob, match="being written to"):
            store.read(uri)


class TestDownloads:
    def test_a_source_that_grows_meanwhile_is_not_taken(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        etag = store.write(uri, b"1" * 1000, "audio/wav").etag
        copy = file_copy.copy_content

        def copy_while_it_grows(source: object, target: Path) -> None:
            copy(source, target)  # type: ignore[arg-type]
            with (root / "call.wav").open("ab") as growing:
                growing.write(b"2")

        monkeypatch.setattr(directory, "copy_content", copy_while_it_grows)
        with pytest.raises(ConditionFailed):
            store.download(uri, tmp_path / "call.wav", etag=etag)
        assert [path.name for path in tmp_path.iterdir()] == ["objects"]

    def test_the_version_stays_whole_when_it_is_replaced_meanwhile(
        self, store: DirectoryStore, uri: ObjectUri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        etag = store.write(uri, b"old" * 1000, "audio/wav").etag
        copy = file_copy.copy_content

        def replace_then_copy(source: object, target: Path) -> None:
            store.write(uri, b"new", "audio/wav")
            copy(source, target)  # type: ignore[arg-type]

        monkeypatch.setattr(directory, "copy_content", replace_then_copy)
        store.download(uri, tmp_path / "call.wav", etag=etag)

        assert (tmp_path / "call.wav").read_bytes() == b"old" * 1000

    @pytest.mark.parametrize("reason", [errno.EXDEV, errno.ENOSYS, errno.EINVAL])
    def test_a_kernel_that_can_t_copy_is_no_obstacle(
        self, store: DirectoryStore, uri: ObjectUri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        etag = store.write(uri, b"123" * 1000, "audio/wav").etag
        monkeypatch.setattr(os, "copy_file_range", _failing(reason))

        store.download(uri, tmp_path / "call.wav", etag=etag)

        assert (tmp_path / "call.wav").read_bytes() == b"123" * 1000

    @pytest.mark.parametrize(
        ("reason", "consequence"),
        [(errno.ENOSPC, EnvironmentDown), (errno.EDQUOT, EnvironmentDown), (errno.EIO, RetryJob)],
    )
    def test_a_full_disk_is_ours_and_a_broken_source_is_its_own(
        self,
        store: DirectoryStore,
        uri: ObjectUri,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reason: int,
        consequence: type[Exception],
    ) -> None:
        etag = store.write(uri, b"1", "audio/wav").etag
        monkeypatch.setattr(os, "copy_file_range", _failing(reason))

        with pytest.raises(consequence):
            store.download(uri, tmp_path / "call.wav", etag=etag)
        assert [path.name for path in tmp_path.iterdir()] == ["objects"]

    def test_a_missing_scratch_directory_is_ours(self, store: DirectoryStore, uri: ObjectUri, tmp_path: Path) -> None:
        etag = store.write(uri, b"1", "audio/wav").etag

        with pytest.raises(EnvironmentDown):
            store.download(uri, tmp_path / "gone" / "call.wav", etag=etag)


class TestErrors:
    def test_a_named_pipe_is_no_object_and_does_not_hang(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, tmp_path: Path
    ) -> None:
        root.mkdir()
        os.mkfifo(root / "call.wav")

        for access in (store.head, store.read, lambda it: store.download(it, tmp_path / "x", etag="1")):
            with pytest.raises(ObjectNotFound):
                access(uri)

    def test_a_directory_is_no_object(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        (root / "call.wav").mkdir(parents=True)

        for access in (store.head, store.read):
            with pytest.raises(ObjectNotFound):
                access(uri)
        store.delete(uri)
        assert (root / "call.wav").is_dir()

    @pytest.mark.parametrize("name", ["x" * 256, "call.wav/below-a-file", "a-directory"])
    def test_a_name_that_no_file_can_have_rejects_the_job(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, name: str
    ) -> None:
        store.write(uri, b"1", "text/plain")
        (root / "a-directory").mkdir()

        with pytest.raises(RejectJob) as refused:
            store.write(ObjectUri.from_path(root).child(f"/{name}"), b"1", "text/plain")
        assert refused.value.reason is Reason.OUTPUT_NOT_ALLOWED
        with pytest.raises(ObjectNotFound):
            store.read(ObjectUri.from_path(root).child(f"/{name}"))

    def test_a_prefix_is_no_object(self, store: DirectoryStore, root: Path, uri: ObjectUri) -> None:
        store.write(uri, b"1", "text/plain")
        slashed = ObjectUri.from_path(root / "call.wav", prefix=True)

        with pytest.raises(ObjectNotFound):
            store.read(slashed)
        with pytest.raises(RejectJob):
            store.write(slashed, b"1", "text/plain")

    @pytest.mark.parametrize(
        ("reason", "consequence"),
        [(errno.EACCES, RetryJob), (errno.ELOOP, RejectJob), (errno.EIO, EnvironmentDown)],
    )
    def test_what_a_failed_read_means(
        self,
        store: DirectoryStore,
        uri: ObjectUri,
        monkeypatch: pytest.MonkeyPatch,
        reason: int,
        consequence: type[Exception],
    ) -> None:
        store.write(uri, b"1", "text/plain")
        monkeypatch.setattr(os, "open", _failing(reason))

        with pytest.raises(consequence):
            store.read(uri)

    @pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES, errno.ENOLCK])
    def test_a_failed_write_is_the_environment_s_trouble(
        self, store: DirectoryStore, root: Path, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        first = store.write(uri, b"1", "text/plain")
        for call in ((os, "fsync"), (fcntl, "flock")):
            with monkeypatch.context() as patch:
                patch.setattr(*call, _failing(reason if call[0] is os or reason != errno.EACCES else errno.ENOLCK))
                with pytest.raises(EnvironmentDown):
                    store.write(uri, b"2", "text/plain", IfMatch(first.etag))

        assert store.head(uri).etag == first.etag
        assert list((root / WORKSHOP).glob("*.tmp")) == []


def _failing(reason: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(reason, os.strerror(reason))

    return fail
