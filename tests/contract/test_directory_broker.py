"""The spool directory keeps the brokers' contract, and what only it promises."""

import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.broker_contract import BrokerContract, take
from tests.contract.pipeline_contract import PipelineContract
from transcriber_worker.brokers.base import Broker, Letter
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.brokers.directory_lease import LARGEST_FILE_BYTES
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.settings import DirectoryBrokerSettings

IN_2096 = 4_000_000_000.0
"""Later than any file's change time, which no test can set."""


class SpoolHarness:
    lease_s = 60.0
    patience_s = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock(IN_2096)
        self.settings = DirectoryBrokerSettings(path=path, lease_s=self.lease_s)

    @property
    def audio(self) -> ObjectUri:
        return ObjectUri.from_path(self.path / "audio", prefix=True)

    def connect(self) -> DirectoryBroker:
        return DirectoryBroker(self.settings, self.clock)

    def lapse(self, worker: Broker) -> None:
        self.clock.advance(self.lease_s + 1)

    def abandon(self, worker: Broker) -> None:
        """A spool's worker is nothing but the files it has moved."""

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def results(self) -> Sequence[bytes]:
        return [path.read_bytes() for path in (self.path / "results").glob("*.json")]

    def drop(self, name: str, body: bytes = b"RIFF", age_s: float = 10.0) -> Path:
        """What a person does: a file below inbox/, last written to `age_s` ago."""
        path = self.path / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (self.clock.now() - age_s,) * 2)
        return path

    def names(self, folder: str) -> list[str]:
        """The files below a folder of the spool."""
        root = self.path / folder
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.fixture
def harness(tmp_path: Path) -> SpoolHarness:
    return SpoolHarness(tmp_path / "spool")


@pytest.fixture
def worker(harness: SpoolHarness) -> DirectoryBroker:
    return harness.connect()


class TestDirectoryBroker(BrokerContract):
    pass


class TestPipelineOverTheSpool(PipelineContract):
    pass


class TestDroppedRequests:
    def test_a_request_is_delivered_as_it_is(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("my call.json", b'{"source": "file:///data/call.mp3"}')

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.body == b'{"source": "file:///data/call.mp3"}'
        assert delivery.message.headers == {}
        assert delivery.message.origin == "spool:inbox/my call.json"
        assert delivery.message.published_at == harness.clock.now() - 10.0

    def test_it_stays_the_same_message_when_it_comes_back(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("a/b%2F/call.JSON", b"{}")
        (first,) = take(harness, worker, 1)
        first.give_back(5.0)
        harness.pass_time(6.0)

        (second,) = take(harness, worker, 1)

        assert second.message == first.message
        assert second.message.origin == "spool:inbox/a/b%2F/call.JSON"

    def test_settling_removes_it(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("call.json", b"{}")
        (delivery,) = take(harness, worker, 1)

        delivery.settle()

        assert [harness.names(folder) for folder in ("inbox", "leased", "delayed")] == [[], [], []]

    def test_a_long_name_is_no_obstacle(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("ü" * 125 + ".json", b"{}")
        (delivery,) = take(harness, worker, 1)
        delivery.extend()
        delivery.give_back(1.0)
        harness.pass_time(2.0)

        (again,) = take(harness, worker, 1)

        assert again.message.id == delivery.message.id
        assert again.message.origin.endswith("üü.json")

    @pytest.mark.parametrize("name", ["latin\udce9.json", "line\nbreak.json", "~.json", "a~b.json"])
    def test_a_strange_name_is_no_obstacle(self, harness: SpoolHarness, worker: DirectoryBroker, name: str) -> None:
        harness.drop(name, b"{}")

        (delivery,) = take(harness, worker, 1)

        delivery.message.origin.encode()
        delivery.settle()
        assert harness.names("leased") == []

    def test_a_request_that_is_huge_or_a_link_is_kept_like_a_recording(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        """Nothing of it may be lost, read into memory, or shown to whoever reads dead letters."""
        harness.drop("huge.json", b" " * (1024 * 1024 + 1))
        (harness.path / "inbox" / "link.json").symlink_to("/etc/passwd")

        deliveries = take(harness, worker, 2)

        assert {Path(json.loads(it.message.body)["source"]).name for it in deliveries} == {"huge.json", "link.json"}
        assert harness.names("audio") == ["huge.json", "link.json"]

    @pytest.mark.parametrize("body", [b"no envelope", b"[]\nbody", b""])
    def test_a_message_that_lacks_its_envelope_is_delivered_as_it_is(
        self, harness: SpoolHarness, worker: DirectoryBroker, body: bytes
    ) -> None:
        """Somebody edited what we had published."""
        worker.publish(b"{}", {"traceparent": "00-1-2-01"})
        (published,) = (harness.path / "inbox").iterdir()
        published.write_bytes(body)

        (delivery,) = take(harness, worker, 1)

        assert (delivery.message.body, delivery.message.headers) == (body, {})


class TestDroppedRecordings:
    def test_a_recording_counts_as_a_request_for_it(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("monday/call 1#.mp3", b"ID3")

        (delivery,) = take(harness, worker, 1)

        request = json.loads(delivery.message.body)
        source = ObjectUri.parse(request["source"])
        assert request == {"version": 1, "source": str(source)}
        assert source.path.read_bytes() == b"ID3"
        assert harness.audio.contains(source)
        assert harness.audio.relative(source) == "monday/call 1#.mp3"
        assert delivery.message.origin == "spool:inbox/monday/call 1#.mp3"

    def test_settling_leaves_the_recording(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        dropped = harness.drop("call.mp3", b"ID3")
        modified_ns = dropped.stat().st_mtime_ns
        (delivery,) = take(harness, worker, 1)

        delivery.settle()

        assert harness.names("") == ["audio/call.mp3"]
        assert (harness.path / "audio" / "call.mp3").stat().st_mtime_ns == modified_ns

    @pytest.mark.parametrize("name", ["memo", "memo.xyz", "memo.txt", "memo.msg", "archive.tar.gz"])
    def test_what_is_no_request_is_a_recording(self, harness: SpoolHarness, worker: DirectoryBroker, name: str) -> None:
        harness.drop(name)

        take(harness, worker, 1)

        assert harness.names("audio") == [name]

    @pytest.mark.parametrize(
        "name", [".hidden.mp3", "a.mp3.tmp", "a.mp3.part", "a.mp3.CRDOWNLOAD", ".cache/a.mp3", "b/.partial/a.mp3"]
    )
    def test_unfinished_and_hidden_files_are_left_alone(
        self, harness: SpoolHarness, worker: DirectoryBroker, name: str
    ) -> None:
        harness.drop(name, age_s=1e6)

        assert list(worker.receive(1, 30.0)) == []
        assert harness.names("") == [f"inbox/{name}"]

    @pytest.mark.parametrize("name", ["call.mp3", "call.json", "calls/call.mp3"])
    def test_a_file_that_is_still_written_to_waits(
        self, harness: SpoolHarness, worker: DirectoryBroker, name: str
    ) -> None:
        path = harness.drop(name, age_s=0.5)
        assert list(worker.receive(1, 1.0)) == []
        os.utime(path, (harness.clock.now(),) * 2)
        assert list(worker.receive(1, 1.75)) == []

        assert len(worker.receive(1, 1.0)) == 1

    def test_a_file_written_to_again_before_its_turn_waits(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        harness.drop("1.mp3", age_s=20)
        harness.drop("2.mp3", age_s=10)
        take(harness, worker, 1)
        harness.drop("2.mp3", b"more", age_s=0)

        assert list(worker.receive(1, 0.0)) == []
        harness.pass_time(2.0)
        assert len(worker.receive(1, 0.0)) == 1

    def test_a_file_from_the_future_counts_once_it_rests(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        """A recorder with a wrong clock."""
        path = harness.drop("call.mp3", age_s=-1e8)
        assert list(worker.receive(1, 1.5)) == []
        path.write_bytes(b"more and more")
        os.utime(path, (harness.clock.now() + 1e8,) * 2)
        assert list(worker.receive(1, 1.5)) == []

        (delivery,) = worker.receive(1, 2.0)
        assert delivery.message.published_at is not None
        assert delivery.message.published_at <= harness.clock.now()

    def test_the_oldest_comes_first(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.drop("second.mp3", age_s=20)
        harness.drop("third.json", b"{}", age_s=10)
        harness.drop("first.json", b"{}", age_s=30)
        harness.pass_time(1.0)
        worker.publish(b"fourth", {})

        received = [delivery.message.origin.rpartition("/")[2] for delivery in take(harness, worker, 4)]

        assert received[:3] == ["first.json", "second.mp3", "third.json"]

    def test_a_recording_of_last_year_waits_since_it_was_dropped(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        """Moved or copied with its times, it did not wait a year."""
        changed_at = harness.drop("call.mp3", age_s=IN_2096 - 1_000_000_000).stat().st_ctime

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.published_at == pytest.approx(changed_at, abs=0.002)

    def test_a_name_too_long_for_its_transcript_is_shortened(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        for letter in "ab":
            harness.drop("x" * 250 + letter + ".mp3")

        take(harness, worker, 2)

        names = harness.names("audio")
        assert len(set(names)) == 2
        assert all(name.endswith(".mp3") and len(f"{name}.json") < 255 for name in names)

    @pytest.mark.parametrize(
        ("name", "kept"), [("latin\udce9.wav", "latin%E9.wav"), ("line\nbreak.wav", "line%0Abreak.wav")]
    )
    def test_a_name_that_no_uri_can_tell_is_spelled_out(
        self, harness: SpoolHarness, worker: DirectoryBroker, name: str, kept: str
    ) -> None:
        harness.drop(name)

        (delivery,) = take(harness, worker, 1)

        assert harness.names("audio") == [kept]
        assert ObjectUri.parse(json.loads(delivery.message.body)["source"]).path.name == kept

    def test_a_recording_of_the_same_name_replaces_the_older(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        for n, age_s in ((1, 20), (2, 10)):
            harness.drop("call.mp3", b"%d" % n, age_s=age_s)
            take(harness, worker, 1)

        assert harness.names("audio") == ["call.mp3"]
        assert (harness.path / "audio" / "call.mp3").read_bytes() == b"2"

    def test_an_older_recording_of_the_same_name_gets_one_of_its_own(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        sources = []
        for n, age_s in ((1, 10), (2, 20)):
            harness.drop("call.mp3", b"%d" % n, age_s=age_s)
            (delivery,) = take(harness, worker, 1)
            sources.append(ObjectUri.parse(json.loads(delivery.message.body)["source"]).path)

        assert [source.read_bytes() for source in sources] == [b"1", b"2"]
        assert sources[1].name.endswith("-call.mp3")

    def test_a_name_that_is_a_folder_by_now_gets_one_of_its_own(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        harness.drop("a/b.mp3", b"1")
        take(harness, worker, 1)
        (harness.path / "inbox" / "a").rmdir()
        harness.drop("a", b"2")
        take(harness, worker, 1)
        (harness.path / "audio" / "c").write_bytes(b"3")
        harness.drop("c/d.mp3", b"4")
        take(harness, worker, 1)

        found = {(harness.path / "audio" / name).read_bytes() for name in harness.names("audio")}
        assert found == {b"1", b"2", b"3", b"4"}

    def test_links_are_taken_as_what_they_are(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        """Whether one may be followed is the store's to say: it ends as a dead letter rather than in silence."""
        (harness.path / "inbox" / "call.wav").symlink_to("/etc/hostname")
        (harness.path / "inbox" / "folder").symlink_to("/etc")

        take(harness, worker, 2)

        assert harness.names("audio") == ["call.wav"]
        assert (harness.path / "audio" / "call.wav").is_symlink()
        assert (harness.path / "audio" / "folder").is_symlink()

    def test_pipes_and_the_like_are_left_alone(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        os.mkfifo(harness.path / "inbox" / "call.wav")

        assert list(worker.receive(1, 10.0)) == []


class TestLeases:
    def test_a_lease_that_ended_may_be_renewed_while_nobody_took_it(
        self, harness: SpoolHarness, worker: DirectoryBroker
    ) -> None:
        """A laptop that slept goes on with what it held."""
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        harness.pass_time(10 * harness.lease_s)

        delivery.extend()

        assert list(harness.connect().receive(1, 0.0)) == []

    def test_leases_of_one_instant_are_told_apart(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        """The clock steps back, and the next lease ends when the lost one would have."""
        worker.publish(b"1", {})
        (lost,) = take(harness, worker, 1)
        harness.pass_time(harness.lease_s)
        other = harness.connect()
        (mine,) = take(harness, other, 1)
        mine.give_back()
        harness.pass_time(-harness.lease_s)
        (current,) = take(harness, harness.connect(), 1)

        lost.settle()

        current.extend()
        assert len(harness.names("leased")) == 1

    def test_a_restart_finds_what_the_killed_worker_held(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        published = [worker.publish(b"%d" % n, {}) for n in range(3)]
        take(harness, worker, 3)
        harness.pass_time(harness.lease_s - 1)
        assert list(harness.connect().receive(3, 0.0)) == []
        harness.pass_time(1.0)

        assert sorted(it.message.id for it in take(harness, harness.connect(), 3)) == sorted(published)

    def test_waiting_ends_with_the_first_message(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        delivery.give_back(10.0)
        before = harness.clock.now()

        assert len(worker.receive(5, 60.0)) == 1
        assert 10.0 <= harness.clock.now() - before <= 10.5

    def test_waiting_ends_in_time(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        before = harness.clock.now()

        assert list(worker.receive(5, 7.1)) == []
        assert harness.clock.now() - before == pytest.approx(7.1)

    def test_what_is_in_nobody_s_format_is_left_alone(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        for folder in ("leased", "delayed", "adopting"):
            (harness.path / folder / "notes").mkdir()
            (harness.path / folder / "notes.txt").write_bytes(b"a person's")

        assert list(worker.receive(5, 10.0)) == []
        assert len(harness.names("")) == 3


class TestResults:
    def test_an_event_is_a_file_named_by_its_id(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        worker.announce("3f2a:2", b"{}", None)

        assert harness.names("results") == ["3f2a-2.json"]

    def test_a_reply_goes_to_a_folder_of_its_own(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        worker.announce("3f2a:2", b"{}", "tenant-a")

        assert harness.names("results") == ["tenant-a/3f2a-2.json"]

    @pytest.mark.parametrize(
        "reply_to", ["", "..", "../inbox", "/etc", "a/b", ".hidden", "a\nb", "x" * 300, "3f2a-2.json"]
    )
    def test_a_reply_to_anywhere_else_is_ignored(
        self, harness: SpoolHarness, worker: DirectoryBroker, reply_to: str
    ) -> None:
        worker.announce("3f2a:2", b"{}", reply_to)

        assert harness.names("") == ["results/3f2a-2.json"]

    def test_an_id_that_is_no_name_still_makes_one_file(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        for _ in range(2):
            worker.announce("../../etc/passwd", b"{}", None)
            worker.announce("x" * 1000, b"{}", None)

        assert len(harness.names("results")) == len(harness.names("")) == 2

    def test_results_can_be_turned_off(self, harness: SpoolHarness) -> None:
        settings = harness.settings.model_copy(update={"results": False})

        DirectoryBroker(settings, harness.clock).announce("3f2a:2", b"{}", None)

        assert harness.names("") == []

    def test_dead_letters_are_files_a_person_can_read(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        worker.dead_letters.put(Letter("3f2a", b"{}"))

        assert harness.names("dead") == ["3f2a.json"]


class TestTrouble:
    @pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
    def test_a_disk_that_fails_is_the_environment_s_trouble(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)

        def fail(*_: object, **__: object) -> None:
            raise OSError(reason, os.strerror(reason))

        with monkeypatch.context() as patch:
            for call in ("fsync", "rename", "unlink", "scandir"):
                patch.setattr(os, call, fail)
            patch.setattr(os, "listdir", fail)
            for method in (
                lambda: worker.publish(b"2", {}),
                lambda: worker.announce("1", b"2", None),
                lambda: worker.dead_letters.put(Letter("1", b"2")),
                lambda: worker.dead_letters.resolve("1"),
                lambda: worker.receive(1, 0.0),
                delivery.extend,
                delivery.give_back,
                delivery.settle,
                worker.close,
            ):
                with pytest.raises(EnvironmentDown, match=os.strerror(reason)):
                    method()

        delivery.extend()
        delivery.settle()
        assert harness.names("leased") == []

    def test_what_is_leased_already_survives_trouble_with_the_next(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for n in range(2):
            worker.publish(b"%d" % n, {})
        rename, failures = os.rename, [None, OSError(errno.EIO, "broken"), OSError(errno.EIO, "broken")]

        def sometimes(*names: Path) -> None:
            if failures and (failure := failures.pop(0)):
                raise failure
            rename(*names)

        monkeypatch.setattr(os, "rename", sometimes)

        assert len(worker.receive(2, 0.0)) == 1
        with pytest.raises(EnvironmentDown):
            worker.receive(2, 0.0)
        assert len(worker.receive(2, 0.0)) == 1

    def test_closing_gives_back_the_others_when_one_fails(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for n in range(3):
            worker.publish(b"%d" % n, {})
        take(harness, worker, 3)
        rename, failures = os.rename, [OSError(errno.EIO, "broken")]

        def once(*names: Path) -> None:
            if failures:
                raise failures.pop()
            rename(*names)

        monkeypatch.setattr(os, "rename", once)
        with pytest.raises(EnvironmentDown):
            worker.close()

        assert len(harness.names("inbox")) == 2

    def test_a_sub_folder_that_can_t_be_taken_from_stops_nobody(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness.drop("theirs/1.mp3", age_s=30)
        harness.drop("theirs/1.json", age_s=30)
        harness.drop("2.mp3", age_s=20)
        rename = os.rename

        def forbid(source: Path, target: Path) -> None:
            if "inbox/theirs" in str(source):
                raise PermissionError(errno.EACCES, "not yours")
            rename(source, target)

        monkeypatch.setattr(os, "rename", forbid)

        (delivery,) = take(harness, worker, 1)
        assert delivery.message.origin == "spool:inbox/2.mp3"
        assert list(worker.receive(1, 10.0)) == []
        assert harness.names("adopting") == []
        assert harness.names("inbox") == ["theirs/1.json", "theirs/1.mp3"]

    @pytest.mark.parametrize(
        "error", [PermissionError(errno.EACCES, "not yours"), FileNotFoundError(errno.ENOENT, "gone")]
    )
    def test_a_sub_folder_that_can_t_be_read_stops_nobody(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch, error: OSError
    ) -> None:
        harness.drop("theirs/1.mp3", age_s=30)
        harness.drop("2.mp3", age_s=20)
        scandir = os.scandir

        def forbid(path: Path) -> object:
            if path == harness.path / "inbox" / "theirs":
                raise error
            return scandir(path)

        monkeypatch.setattr(os, "scandir", forbid)

        (delivery,) = take(harness, worker, 1)
        assert delivery.message.origin == "spool:inbox/2.mp3"

    def test_an_inbox_that_can_t_be_taken_from_is_trouble(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness.drop("1.mp3")

        def forbid(*_: Path) -> None:
            raise PermissionError(errno.EACCES, "not yours")

        monkeypatch.setattr(os, "rename", forbid)

        with pytest.raises(EnvironmentDown, match="not yours"):
            worker.receive(1, 0.0)

    def test_a_spool_that_can_t_be_made_says_where(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        settings = DirectoryBrokerSettings(path=tmp_path / "file" / "spool")

        with pytest.raises(EnvironmentDown, match="file/spool"):
            DirectoryBroker(settings, ManualClock())

    def test_a_spool_that_vanished_is_trouble(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        harness.path.rename(harness.path.with_name("unmounted"))

        with pytest.raises(EnvironmentDown):
            worker.receive(1, 0.0)

    def test_what_a_killed_writer_left_goes_after_an_hour(self, harness: SpoolHarness) -> None:
        tmp = harness.path / "tmp"
        tmp.mkdir(parents=True)
        for name, age_s in (("old", 3700), ("young", 3500)):
            (tmp / name).write_bytes(b"half")
            os.utime(tmp / name, (harness.clock.now() - age_s,) * 2)

        harness.connect()

        assert harness.names("tmp") == ["young"]

    def test_a_publication_is_on_the_disk_before_it_is_told(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced, fsync = [], os.fsync

        def record(descriptor: int) -> None:
            fsync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            synced.append((path.name if path.is_dir() else path.parent.name, len(harness.names("inbox"))))

        monkeypatch.setattr(os, "fsync", record)
        worker.publish(b"1", {})

        assert synced == [("tmp", 0), ("inbox", 1)]


ENTRY = f"1000000000000~{'0123456789abcdef' * 2}.msg"
"""A name that only the spool gives, and that anybody can give."""


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        # A socket's address has 107 bytes at most.
        above = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{above}/{path.name}")
        finally:
            os.close(above)


@contextmanager
def nested(folder: Path, name: str, depth: int) -> Iterator[None]:
    """`depth` folders in one another with a recording in the last; gone afterwards, which no recursion could do."""
    at = os.open(folder, os.O_RDONLY)

    def step(to: str) -> None:
        nonlocal at
        previous, at = at, os.open(to, os.O_RDONLY, dir_fd=at)
        os.close(previous)

    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        step(name)
    os.close(os.open("deep.mp3", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.utime("deep.mp3", (1_600_000_000,) * 2, dir_fd=at)
    try:
        yield
    finally:
        os.unlink("deep.mp3", dir_fd=at)
        for _ in range(depth):
            step("..")
            os.rmdir(name, dir_fd=at)
        os.close(at)


class TestWhatAnybodyCanDrop:
    """Whatever lies in the inbox, the request that was published after it is delivered, and nothing is lost."""

    @pytest.fixture(autouse=True)
    def no_test_hangs(self) -> Iterator[None]:
        def fail(*_: object) -> None:
            raise AssertionError("waits for a pipe's writer")

        previous = signal.signal(signal.SIGALRM, fail)
        signal.alarm(20)
        yield
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)

    @staticmethod
    def bodies(harness: SpoolHarness, worker: DirectoryBroker) -> list[bytes]:
        """What three leases' time brings, nothing being settled."""
        found = []
        for _ in range(3):
            found += [delivery.message.body for delivery in worker.receive(5, 0.0)]
            harness.pass_time(harness.lease_s + 1)
        return found

    @pytest.mark.parametrize("make", [os.mkfifo, bind_socket, Path.mkdir])
    def test_what_is_no_file_is_left_alone_whatever_its_name(
        self, harness: SpoolHarness, worker: DirectoryBroker, make: Callable[[Path], None]
    ) -> None:
        make(harness.path / "inbox" / ENTRY)
        worker.publish(b"{}", {})

        assert self.bodies(harness, worker) == [b"{}"] * 3
        assert (harness.path / "inbox" / ENTRY).exists()
        assert harness.names("dead") == []

    @pytest.mark.parametrize("target", ["/", "/nonexistent", "/etc/hostname", "/dev/zero"])
    def test_a_link_with_a_message_s_name_is_a_link_like_any_other(
        self, harness: SpoolHarness, worker: DirectoryBroker, target: str
    ) -> None:
        (harness.path / "inbox" / ENTRY).symlink_to(target)

        (delivery,) = take(harness, worker, 1)

        assert json.loads(delivery.message.body)["source"] == str(ObjectUri.from_path(harness.path / "audio" / ENTRY))
        assert (harness.path / "audio" / ENTRY).readlink() == Path(target)

    @pytest.mark.parametrize(
        "make",
        [os.mkfifo, bind_socket, Path.mkdir, lambda path: path.symlink_to("/etc/hostname")],
        ids=["pipe", "socket", "folder", "link"],
    )
    def test_a_message_replaced_after_it_was_seen_is_moved_aside_once(
        self, harness: SpoolHarness, worker: DirectoryBroker, make: Callable[[Path], None]
    ) -> None:
        for body in (b"1", b"2", b"3"):
            worker.publish(body, {})
            harness.pass_time(1.0)
        (first,) = worker.receive(1, 0.0)
        first.settle()
        second = min((harness.path / "inbox").iterdir())
        second.unlink()
        make(second)

        assert self.bodies(harness, worker) == [b"3"] * 3
        (aside,) = (harness.path / "dead").iterdir()
        assert aside.name.endswith(".unreadable")
        assert list(worker.dead_letters.list()) == []

    @pytest.mark.parametrize("name", ["call.mp3", "call.json"])
    def test_a_dropped_file_replaced_by_a_pipe_after_it_was_seen_is_left_alone(
        self, harness: SpoolHarness, worker: DirectoryBroker, name: str
    ) -> None:
        harness.drop("first.json", b"{}", age_s=30)
        path = harness.drop(name, b"{}")
        (first,) = worker.receive(1, 0.0)
        first.settle()
        path.unlink()
        os.mkfifo(path)
        os.utime(path, (harness.clock.now() - 10.0,) * 2)

        assert self.bodies(harness, worker) == []
        assert harness.names("") == [f"inbox/{name}"]

    def test_a_huge_message_is_moved_aside_and_not_read(
        self, harness: SpoolHarness, worker: DirectoryBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (harness.path / "inbox" / ENTRY).open("wb") as huge:
            huge.truncate(LARGEST_FILE_BYTES + 1)
        worker.publish(b"{}", {})

        assert self.bodies(harness, worker) == [b"{}"] * 3
        (aside,) = (harness.path / "dead").iterdir()
        assert aside.stat().st_size == LARGEST_FILE_BYTES + 1
        assert aside.name in caplog.text

    def test_the_largest_message_is_delivered(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        body = b"x" * (1024 * 1024)
        worker.publish(body, {"traceparent": "00-1-2-01"})

        assert [delivery.message.body for delivery in take(harness, worker, 1)] == [body]

    def test_a_message_that_may_not_be_read_is_moved_aside(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another user published it, with a umask of their own."""
        (harness.path / "inbox" / ENTRY).write_bytes(b"theirs")
        worker.publish(b"{}", {})
        opened = os.open

        def forbid(path: Path, *args: int, **kwargs: int) -> int:
            if str(path).endswith(ENTRY):
                raise PermissionError(errno.EACCES, "not yours")
            return opened(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", forbid)
        monkeypatch.setattr(Path, "read_bytes", lambda path: os.fdopen(os.open(path, os.O_RDONLY), "rb").read())

        assert self.bodies(harness, worker) == [b"{}"] * 3
        monkeypatch.undo()
        assert [path.read_bytes() for path in (harness.path / "dead").iterdir()] == [b"theirs"]

    def test_a_disk_that_can_t_be_read_moves_nothing_aside(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.publish(b"{}", {})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
            with pytest.raises(EnvironmentDown, match="broken"):
                worker.receive(1, 0.0)
        harness.pass_time(harness.lease_s)

        assert [delivery.message.body for delivery in take(harness, worker, 1)] == [b"{}"]

    @pytest.mark.parametrize(("name", "depth"), [("a", 1200), ("b" * 250, 20)])
    def test_folders_nested_too_deep_are_left_alone(
        self, harness: SpoolHarness, worker: DirectoryBroker, name: str, depth: int
    ) -> None:
        worker.publish(b"{}", {})

        with nested(harness.path / "inbox", name, depth):
            assert self.bodies(harness, worker) == [b"{}"] * 3

    def test_a_recording_some_folders_down_is_taken(self, harness: SpoolHarness, worker: DirectoryBroker) -> None:
        name = "a/" * 60 + "call.mp3"
        harness.drop(name)

        take(harness, worker, 1)

        assert harness.names("audio") == [name]

    @pytest.mark.parametrize("reason", [errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE])
    def test_a_sub_folder_s_trouble_of_any_kind_stops_nobody(
        self, harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        harness.drop("theirs/1.mp3", age_s=30)
        worker.publish(b"{}", {})
        scandir = os.scandir

        def forbid(path: Path) -> object:
            if Path(path) == harness.path / "inbox" / "theirs":
                raise OSError(reason, os.strerror(reason))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", forbid)

        assert self.bodies(harness, worker) == [b"{}"] * 3


class TestPlacing:
    @pytest.fixture
    def recording(self, tmp_path: Path) -> Path:
        path = tmp_path / "call.wav"
        path.write_bytes(b"RIFF")
        os.utime(path, (1_600_000_000,) * 2)
        return path

    def test_a_recording_is_linked_into_audio(
        self, harness: SpoolHarness, worker: DirectoryBroker, recording: Path
    ) -> None:
        uri = worker.place(recording, "calls/call.wav")

        assert harness.audio.relative(uri) == "calls/call.wav"
        assert uri.path.samefile(recording)
        assert harness.names("") == ["audio/calls/call.wav"]

    @pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM, errno.EMLINK])
    def test_it_is_copied_where_it_can_t_be_linked(
        self, worker: DirectoryBroker, recording: Path, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(reason, os.strerror(reason))

        monkeypatch.setattr(os, "link", fail)

        placed = worker.place(recording, "call.wav").path

        assert placed.read_bytes() == b"RIFF"
        assert placed.stat().st_mtime_ns == recording.stat().st_mtime_ns
        assert not placed.samefile(recording)

    def test_placing_again_changes_nothing_and_leaves_nothing(
        self, harness: SpoolHarness, worker: DirectoryBroker, recording: Path
    ) -> None:
        worker.place(recording, "call.wav")
        placed = worker.place(recording, "call.wav")

        assert worker.place(placed.path, "call.wav") == placed
        assert harness.names("") == ["audio/call.wav"]

    def test_another_file_of_that_name_replaces_it(
        self, worker: DirectoryBroker, recording: Path, tmp_path: Path
    ) -> None:
        worker.place(recording, "call.wav")
        (tmp_path / "other.wav").write_bytes(b"other")

        assert worker.place(tmp_path / "other.wav", "call.wav").path.read_bytes() == b"other"
        assert recording.read_bytes() == b"RIFF"

    def test_a_link_is_placed_as_what_it_points_to(
        self, worker: DirectoryBroker, recording: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "link.wav").symlink_to(recording)

        placed = worker.place(tmp_path / "link.wav", "call.wav").path

        assert not placed.is_symlink()
        assert placed.samefile(recording)

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../inbox/x.json", "a/../../b", ".."])
    def test_a_name_that_leaves_audio_is_refused(self, worker: DirectoryBroker, recording: Path, name: str) -> None:
        with pytest.raises(ValueError, match="no name below audio"):
            worker.place(recording, name)

    def test_a_recording_that_is_not_there_is_the_caller_s_mistake(
        self, worker: DirectoryBroker, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            worker.place(tmp_path / "gone.wav", "call.wav")


def test_a_large_backlog_is_read_once_for_many_receives(
    harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        harness.drop(f"{n:03d}.json", b"{}", age_s=1000 - n)
    scans, scandir = [], os.scandir

    def count(path: Path) -> object:
        scans.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", count)

    received = [take(harness, worker, 3)[0].message.origin for _ in range(100)]

    assert received == [f"spool:inbox/{n:03d}.json" for n in range(0, 300, 3)]
    assert scans.count(harness.path / "inbox") == 1


def test_an_inbox_that_is_slow_to_read_is_read_less_often(
    harness: SpoolHarness, worker: DirectoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full of files that can't be taken yet: looking takes a tenth of the time at most."""
    scans, scandir = [], os.scandir

    def slowly(path: Path) -> object:
        if path == harness.path / "inbox":
            scans.append(path)
            harness.clock.advance(0.2)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", slowly)
    before = harness.clock.now()

    for _ in range(100):
        assert list(worker.receive(1, 0.1)) == []

    assert 0 < len(scans) * 0.2 <= 0.1 * (harness.clock.now() - before) + 0.2
