"""Whose fault it is when a source can't be had, and who is charged with it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import make_job, make_settings, uri
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline import sources as sources_module
from transcriber_worker.pipeline.sources import Sources
from transcriber_worker.storage.base import ObjectInfo, ObjectNotFound

STATE = uri("oci://out@ns/.state/")
CALLS = uri("oci://calls@ns/")
LINKS = uri("https://links.example/")


class Shaky:
    """A store of which parts are down or forbidden, as the test says: prefixes by what becomes of a look below them."""

    def __init__(self) -> None:
        self.down: set[ObjectUri] = set()
        self.hidden: set[ObjectUri] = set()
        self.objects = {CALLS.child("good.wav"), LINKS.child("good.wav")}
        self.looks = 0

    def head(self, target: ObjectUri) -> ObjectInfo:
        self.looks += 1
        self._check(target)
        if target not in self.objects:
            raise ObjectNotFound(str(target))
        return ObjectInfo("e1", 4, 0.0, 0.0)

    def download(self, target: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        path.write_bytes(b"RIFF")
        return self.head(target)

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        self._check(prefix)
        yield from (target for target in self.objects if prefix.contains(target))

    def _check(self, target: ObjectUri) -> None:
        if any(prefix.contains(target) or prefix == target for prefix in self.down):
            raise EnvironmentDown("503 from the store")
        if any(prefix.contains(target) or prefix == target for prefix in self.hidden):
            raise ObjectNotFound(str(target))


@pytest.fixture
def store() -> Shaky:
    return Shaky()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sources(store: Shaky, clock: ManualClock, tmp_path: Path) -> Sources:
    settings = make_settings(tmp_path, storage={"source_patience_s": 3600.0, "doubt_s": 900.0, "doubtful_sources": 3})
    return Sources(store, [CALLS, LINKS], STATE, settings.storage, clock)  # type: ignore[arg-type]


def job_of(source: ObjectUri) -> Job:
    return replace(make_job(name=source.basename), source=source)


def call(name: str) -> Job:
    return job_of(CALLS.child(name))


class TestAnOutage:
    def test_of_the_source_s_bucket_alone_makes_its_jobs_wait_uncharged(self, sources: Sources, store: Shaky) -> None:
        store.down = {CALLS}

        with pytest.raises(RetryJob) as raised:
            sources.look(call("good.wav"))

        assert not raised.value.charged
        assert raised.value.delay_s
        assert sources.down == 1
        assert sources.look(job_of(LINKS.child("good.wav"))).etag == "e1"

    def test_that_our_own_store_shares_is_ours(self, sources: Sources, store: Shaky) -> None:
        store.down = {CALLS, STATE}

        with pytest.raises(EnvironmentDown, match="503"):
            sources.look(call("good.wav"))
        assert sources.down == 0

    def test_in_the_middle_of_a_download_is_no_other(self, sources: Sources, store: Shaky, tmp_path: Path) -> None:
        store.down = {CALLS}

        with pytest.raises(RetryJob) as raised:
            sources.download(call("good.wav"), tmp_path / "source", "e1")
        assert not raised.value.charged

    def test_of_our_own_scratch_disk_is_ours(self, sources: Sources, store: Shaky, tmp_path: Path) -> None:
        def no_space(*_: object, **__: object) -> ObjectInfo:
            raise EnvironmentDown("no space left", PauseReason.SCRATCH)

        store.download = no_space  # type: ignore[method-assign]

        with pytest.raises(EnvironmentDown, match="no space"):
            sources.download(call("good.wav"), tmp_path / "source", "e1")

    def test_is_asked_about_by_one_job_at_a_time_and_ever_less_often(
        self, sources: Sources, store: Shaky, clock: ManualClock
    ) -> None:
        store.down = {CALLS}
        asked = []
        for _ in range(300):
            before = store.looks
            for name in ("good.wav", "other.wav"):
                with pytest.raises(RetryJob):
                    sources.look(call(name))
            asked.append((store.looks - before) // 2)
            clock.advance(1.0)

        assert max(asked[1:]) == 1
        assert 5 <= sum(asked) <= 10

    def test_ends_with_the_first_answer(self, sources: Sources, store: Shaky, clock: ManualClock) -> None:
        store.down = {CALLS}
        with pytest.raises(RetryJob) as raised:
            sources.look(call("good.wav"))
        store.down = set()
        clock.advance(raised.value.delay_s or 0.0)

        assert sources.look(call("good.wav")).etag == "e1"
        assert sources.look(call("good.wav")).etag == "e1"
        assert sources.down == 0

    def test_beyond_all_patience_is_charged(self, sources: Sources, store: Shaky, clock: ManualClock) -> None:
        """Else a job that names a host which is gone for good would never end."""
        store.down = {CALLS}
        with pytest.raises(RetryJob):
            sources.look(call("good.wav"))
        clock.advance(3601.0)

        with pytest.raises(RetryJob, match="too long") as raised:
            sources.look(call("good.wav"))
        assert raised.value.charged

    def test_of_our_credentials_is_ours_wherever_the_state_lies(self, store: Shaky, tmp_path: Path) -> None:
        def refuse(target: ObjectUri) -> ObjectInfo:
            if target.scheme == "oci":
                raise EnvironmentDown("401", PauseReason.CREDENTIALS)
            raise ObjectNotFound(str(target))

        store.head = refuse  # type: ignore[method-assign]
        storage = make_settings(tmp_path).storage
        sources = Sources(store, [CALLS], uri("file:///state/"), storage, ManualClock())  # type: ignore[arg-type]

        with pytest.raises(EnvironmentDown, match="401") as raised:
            sources.look(call("good.wav"))
        assert raised.value.part is PauseReason.CREDENTIALS


class TestASourceThatCanBeSeenAndNeverBeHad:
    """Its host answers every look, so it is never down for long."""

    @pytest.fixture
    def tried(self, sources: Sources, store: Shaky, clock: ManualClock, tmp_path: Path) -> Iterator[RetryJob]:
        return self._tries(sources, store, clock, tmp_path / "source")

    @staticmethod
    def _tries(sources: Sources, store: Shaky, clock: ManualClock, path: Path) -> Iterator[RetryJob]:
        sound = store.download

        def broken(target: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
            if target == LINKS.child("good.wav"):
                raise EnvironmentDown("https://links.example broke off in the middle")
            return sound(target, path, etag=etag)

        store.download = broken  # type: ignore[method-assign]
        store.objects |= {LINKS.child("other.wav")}
        while True:
            with pytest.raises(RetryJob) as raised:
                sources.look(job_of(LINKS.child("good.wav")))
                sources.download(job_of(LINKS.child("good.wav")), path, "e1")
            yield raised.value
            clock.advance(raised.value.delay_s or 0.0)
            other = job_of(LINKS.child("other.wav"))
            sources.look(other)
            sources.download(other, path, "e1")

    def test_is_charged_once_patience_is_over(self, tried: Iterator[RetryJob], clock: ManualClock) -> None:
        """Else whoever publishes such a URL keeps workers busy for ever."""
        begun = clock.now()

        tries = next((tries for tries, retry in zip(range(200), tried, strict=False) if retry.charged), None)

        assert tries is not None

        assert 3600.0 <= clock.now() - begun < 3720.0

    def test_begins_anew_after_it_was_had(
        self, tried: Iterator[RetryJob], store: Shaky, sources: Sources, clock: ManualClock, tmp_path: Path
    ) -> None:
        assert not next(tried).charged
        broken = store.download
        del store.download
        sources.download(job_of(LINKS.child("good.wav")), tmp_path / "source", "e1")
        store.download = broken  # type: ignore[method-assign]
        clock.advance(3500.0)
        assert not next(tried).charged
        clock.advance(200.0)

        assert not next(tried).charged

    def test_is_another_trouble_long_after_the_last(self, tried: Iterator[RetryJob], clock: ManualClock) -> None:
        """The job may have been done by another worker meanwhile, and this be a new one of the same name."""
        assert not next(tried).charged
        clock.advance(100_000.0)

        assert not next(tried).charged

    def test_many_are_not_all_remembered(
        self, store: Shaky, sources: Sources, clock: ManualClock, tmp_path: Path
    ) -> None:
        def broken(target: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
            raise EnvironmentDown("broken")

        store.download = broken  # type: ignore[method-assign]
        for number in range(sources_module.REMEMBERED + 5):
            with pytest.raises(RetryJob):
                sources.download(call(f"{number}.wav"), tmp_path / "source", "e1")

        assert max(len(scope.troubled) for scope in sources._scopes) == sources_module.REMEMBERED


class TestAMissingSource:
    def test_in_a_row_pauses_no_longer_than_an_outage_is_waited_for(
        self, sources: Sources, store: Shaky, clock: ManualClock
    ) -> None:
        """Else three requests for what never was stop a worker that may not list for good."""
        store.hidden = {CALLS}
        names = ("1.wav", "2.wav", "3.wav")
        for name in names:
            with pytest.raises((RetryJob, EnvironmentDown)):
                sources.look(call(name))
        clock.advance(3599.0)
        with pytest.raises(EnvironmentDown):
            sources.look(call("1.wav"))
        clock.advance(1.0)

        for name in names:
            with pytest.raises(RejectJob):
                sources.look(call(name))

    def test_between_the_look_and_the_download_is_a_doubt_like_any_other(
        self, sources: Sources, store: Shaky, tmp_path: Path
    ) -> None:
        """A policy changed at that moment would bury every job on its way."""
        sources.look(call("good.wav"))
        store.download = lambda target, path, etag: store.head(target)  # type: ignore[method-assign, misc]
        store.hidden = {CALLS}

        with pytest.raises(RetryJob) as raised:
            sources.download(call("good.wav"), tmp_path / "source", "e1")
        assert not raised.value.charged

        store.hidden, store.objects = set(), set()
        with pytest.raises(RejectJob) as missing:
            sources.download(call("good.wav"), tmp_path / "source", "e1")
        assert missing.value.reason is Reason.SOURCE_NOT_FOUND

    def test_is_the_file_s_fault_where_its_place_can_be_listed(self, sources: Sources) -> None:
        with pytest.raises(RejectJob) as raised:
            sources.look(call("gone.wav"))
        assert raised.value.reason is Reason.SOURCE_NOT_FOUND

    def test_is_the_url_s_fault(self, sources: Sources, store: Shaky) -> None:
        store.hidden = {LINKS}

        with pytest.raises(RejectJob, match=r"expired\.wav"):
            sources.look(job_of(LINKS.child("expired.wav")))

    def test_in_a_row_without_any_proof_of_our_access_pauses_the_intake(self, sources: Sources, store: Shaky) -> None:
        store.hidden = {CALLS}
        for name in ("1.wav", "2.wav", "2.wav"):
            with pytest.raises(RetryJob) as raised:
                sources.look(call(name))
            assert not raised.value.charged

        for name in ("3.wav", "4.wav", "1.wav"):
            with pytest.raises(EnvironmentDown, match=r"oci://calls@ns/ can't be listed") as paused:
                sources.look(call(name))
            assert paused.value.part is PauseReason.CREDENTIALS

        store.hidden = set()
        assert sources.look(call("good.wav")).etag == "e1"

    def test_is_believed_where_what_was_there_before_still_is(self, sources: Sources, store: Shaky) -> None:
        """Listing may not be permitted at all."""
        sources.look(call("good.wav"))
        store.hidden = {CALLS, CALLS.child("gone.wav")}
        store.hidden.remove(CALLS)
        store.list = lambda prefix: (_ for _ in ()).throw(ObjectNotFound("may not list"))  # type: ignore[method-assign]

        with pytest.raises(RejectJob):
            sources.look(call("gone.wav"))

    def test_alone_is_believed_after_a_while(self, sources: Sources, store: Shaky, clock: ManualClock) -> None:
        store.hidden = {CALLS}
        with pytest.raises(RetryJob):
            sources.look(call("gone.wav"))
        clock.advance(901.0)

        with pytest.raises(RejectJob):
            sources.look(call("gone.wav"))

    def test_between_sources_that_are_there_pauses_nothing(self, sources: Sources, store: Shaky) -> None:
        store.list = lambda prefix: (_ for _ in ()).throw(ObjectNotFound("may not list"))  # type: ignore[method-assign]
        for name in ("1.wav", "2.wav"):
            with pytest.raises(RetryJob):
                sources.look(call(name))

        sources.look(call("good.wav"))

        for name in ("1.wav", "2.wav", "3.wav", "4.wav"):
            with pytest.raises(RejectJob):
                sources.look(call(name))
