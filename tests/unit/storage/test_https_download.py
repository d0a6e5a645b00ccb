"""A download is whole, of one version, or nothing: whatever breaks on the way."""

import base64
import hashlib
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.https_origin import HOST, PUBLIC, Handler, Internet, Stored, TickingClock
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage import https_download
from transcriber_worker.storage.base import ConditionFailed, ObjectNotFound
from transcriber_worker.storage.https import HttpsStore
from transcriber_worker.storage.https_download import BREAKS
from transcriber_worker.storage.https_version import Headers

PATH = "/public/call.wav"
BODY = bytes(range(256)) * 2000
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.fixture
def call(internet: Internet) -> Stored:
    internet.origin.objects[PATH] = stored = Stored(BODY, '"v1"')
    return stored


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder / "source"


def breaking(internet: Internet, at: Callable[[Handler, int], int | None], *, rst: bool = False) -> list[str]:
    """Serve the object, but break the n-th GET after as many bytes of it as `at` says (None: do not). Returns the Range
    headers as they come."""
    ranges: list[str] = []

    def serve(handler: Handler) -> None:
        if handler.command == "HEAD":
            handler._serve(internet.origin.objects[PATH])
            return
        ranges.append(handler.headers.get("Range", ""))
        cut = at(handler, len(ranges))
        if cut is None:
            handler._serve(internet.origin.objects[PATH])
            return
        whole = handler.wfile
        handler.wfile = _Cut(whole, cut)  # type: ignore[assignment]
        try:
            handler._serve(internet.origin.objects[PATH])
        finally:
            handler.wfile = whole
        handler.close_connection = True
        if rst:
            handler.reset()

    internet.origin.scripts[PATH] = serve
    return ranges


class _Cut:
    """A file that takes headers whole and of the body only so much."""

    def __init__(self, file: object, body_bytes: int) -> None:
        self._file = file
        self._left = body_bytes
        self._in_body = False

    def write(self, data: bytes) -> int:
        if self._in_body:
            data, self._left = data[: self._left], max(0, self._left - len(data))
        self._in_body = self._in_body or data.endswith(b"\r\n\r\n")
        self._file.write(data)  # type: ignore[attr-defined]
        return len(data)

    def flush(self) -> None:
        self._file.flush()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._file.close()  # type: ignore[attr-defined]


def test_what_arrives_is_the_object(store: HttpsStore, uri: ObjectUri, call: Stored, target: Path) -> None:
    info = store.download(uri, target, etag=store.head(uri).etag)

    assert target.read_bytes() == BODY
    assert (info.etag, info.size_bytes) == ('"v1"', len(BODY))
    assert [path.name for path in target.parent.iterdir()] == ["source"]


@pytest.mark.parametrize("rst", [False, True])
@pytest.mark.parametrize("etag", ['"v1"', "v1-without-quotes", None])
def test_a_broken_body_goes_on_where_it_broke_off(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, etag: str | None, rst: bool
) -> None:
    call.etag = etag
    call.headers = {"Date": LONG_AGO.replace("2024", "2030")}  # long after it was modified: that makes the time strong
    version = store.head(uri).etag
    ranges = breaking(internet, lambda handler, n: 100_000 if n < 4 else None, rst=rst)

    info = store.download(uri, target, etag=version)

    assert target.read_bytes() == BODY
    assert info.etag == version
    assert ranges[0] == ""
    resumed = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges[1:] if text]
    assert resumed == sorted(resumed)
    if not rst:  # a reset takes along what was on its way
        assert resumed == [100_000, 200_000, 300_000]


@pytest.mark.parametrize("modified_at", [None, ManualClock().now() - 30])
def test_what_can_not_be_known_for_the_same_version_begins_anew(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, modified_at: float | None
) -> None:
    """Neither an etag nor a time that is long enough over: the rest could belong to another version."""
    call.etag, call.modified_at = None, modified_at
    internet.origin.moment = ManualClock().now
    version = store.head(uri).etag
    ranges = breaking(internet, lambda handler, n: 100_000 if n < 3 else None)

    store.download(uri, target, etag=version)

    assert target.read_bytes() == BODY
    assert ranges == ["", "", ""]


def test_a_host_that_knows_no_ranges_begins_anew(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path
) -> None:
    call.ranges = False
    ranges = breaking(internet, lambda handler, n: 100_000 if n < 3 else None)

    store.download(uri, target, etag='"v1"')

    assert target.read_bytes() == BODY
    assert ranges == ["", "bytes=100000-", "bytes=100000-"]


@pytest.mark.parametrize("content_range", ["bytes 0-511999/512000", "bytes 100001-511999/512000", "rubbish", None,
                                           "bytes 100000-511999/*", "bytes 100000-599999/600000"])  # fmt: skip
def test_a_part_that_was_not_asked_for_is_thrown_away(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, content_range: str | None
) -> None:
    def lie(handler: Handler, n: int) -> int | None:
        call.headers = {"Content-Range": content_range} if n == 2 else {}
        return 100_000 if n == 1 else None

    ranges = breaking(internet, lie)

    store.download(uri, target, etag='"v1"')

    assert target.read_bytes() == BODY
    assert ranges == ["", "bytes=100000-", ""]


@pytest.mark.parametrize("conditional", [True, False])
def test_an_object_replaced_in_the_middle_leaves_nothing(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, conditional: bool
) -> None:
    """By a host that answers 412, and by one that does not know If-Match: equal in size, so nothing else tells."""

    def replaced(handler: Handler, n: int) -> int | None:
        if n == 2:
            call.body, call.etag = BODY[::-1], '"v2"'
            if not conditional:
                handler.headers.replace_header("If-Match", '"v2"')
        return 100_000 if n == 1 else None

    breaking(internet, replaced)

    with pytest.raises(ConditionFailed):
        store.download(uri, target, etag='"v1"')
    assert list(target.parent.iterdir()) == []


def test_an_object_that_shrank_or_vanished_in_the_middle_leaves_nothing(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path
) -> None:
    def shrinks(handler: Handler, n: int) -> int | None:
        if n == 2:
            call.body = b"short"
        return 100_000 if n == 1 else None

    def vanishes(handler: Handler, n: int) -> int | None:
        if n == 2:
            internet.origin.objects[PATH] = Stored(b"")
            handler.path = "/public/nothing"
            handler.answer(404)
            handler.close_connection = True
        return 100_000 if n == 1 else 0

    breaking(internet, shrinks)
    with pytest.raises(ConditionFailed):
        store.download(uri, target, etag='"v1"')
    call.body = BODY
    breaking(internet, vanishes)
    with pytest.raises((ObjectNotFound, ConditionFailed)):
        store.download(uri, target, etag='"v1"')
    assert list(target.parent.iterdir()) == []


def test_another_version_is_not_downloaded(store: HttpsStore, uri: ObjectUri, call: Stored, target: Path) -> None:
    with pytest.raises(ConditionFailed):
        store.download(uri, target, etag='"v0"')
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("bytes_each", [0, 1000])
def test_a_body_that_always_breaks_is_given_up(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, bytes_each: int,
    clock: ManualClock
) -> None:  # fmt: skip
    ranges = breaking(internet, lambda handler, n: bytes_each)
    begun = clock.now()

    with pytest.raises(EnvironmentDown, match=f"{HOST} broke off"):
        store.download(uri, target, etag='"v1"')

    assert len(ranges) == 1 + BREAKS
    assert 10 < clock.now() - begun < 120, "with growing pauses"
    assert list(target.parent.iterdir()) == []


def test_a_body_that_breaks_often_but_gets_on_is_not_given_up(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https_download, "PROGRESS_BYTES", 40_000)
    ranges = breaking(internet, lambda handler, n: 40_000)

    store.download(uri, target, etag='"v1"')

    assert target.read_bytes() == BODY
    assert len(ranges) > 2 * BREAKS


def test_a_host_that_is_down_from_the_start_is_not_hammered(
    internet: Internet, store: HttpsStore, uri: ObjectUri, target: Path
) -> None:
    """When to come again is for the pipeline to say."""
    internet.origin.scripts[PATH] = lambda handler: handler.answer(503)

    with pytest.raises(EnvironmentDown, match="503"):
        store.download(uri, target, etag='"v1"')
    assert internet.origin.methods(PATH) == ["GET"]


def test_a_host_that_goes_away_in_the_middle_is_down(
    internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path
) -> None:
    def leaves(handler: Handler, n: int) -> int | None:
        internet.dialler.dead = {PUBLIC}
        return 100_000

    breaking(internet, leaves)

    with pytest.raises(EnvironmentDown, match="can't be reached"):
        store.download(uri, target, etag='"v1"')
    assert len(internet.dialler.dialled) == 1 + 1 + BREAKS - 1
    assert list(target.parent.iterdir()) == []


def test_a_body_at_a_drip_is_broken_off(internet: Internet, uri: ObjectUri, target: Path) -> None:
    """Every read of the socket brings something in time; all of it together would take weeks."""
    gets: list[str] = []

    def drip(handler: Handler) -> None:
        gets.append(handler.headers.get("Range", ""))
        handler.begin(200, {"ETag": '"v1"', "Content-Length": "1000000"})
        for _ in range(10_000):
            handler.raw(b"x")

    internet.origin.scripts[PATH] = drip

    with pytest.raises(EnvironmentDown, match="too slowly"):
        internet.store(TickingClock()).download(uri, target, etag='"v1"')
    assert len(gets) == 1 + BREAKS
    assert list(target.parent.iterdir()) == []


def test_a_download_that_takes_too_long_in_all_is_charged(internet: Internet, uri: ObjectUri, target: Path) -> None:
    def steadily(handler: Handler) -> None:
        handler.begin(200, {"ETag": '"v1"', "Content-Length": "10000000"})
        for _ in range(100):
            handler.raw(b"x" * 100_000)

    internet.origin.scripts[PATH] = steadily

    with pytest.raises(RetryJob, match="took longer"):
        internet.store(TickingClock(), download_timeout_s=2.0).download(uri, target, etag='"v1"')
    assert list(target.parent.iterdir()) == []


class TestChecksums:
    @pytest.mark.parametrize("name", ["Content-MD5", "opc-content-md5"])
    def test_what_does_not_match_its_own_is_fetched_again(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, name: str
    ) -> None:
        call.headers = {name: md5_of(BODY)}

        def corrupt(handler: Handler, n: int) -> int | None:
            call.body = BODY[:-1] + b"!" if n == 1 else BODY
            return None

        ranges = breaking(internet, corrupt)

        store.download(uri, target, etag='"v1"')

        assert target.read_bytes() == BODY
        assert ranges == ["", ""]

    def test_what_never_does_is_the_objects_own_trouble(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path
    ) -> None:
        call.headers = {"Content-MD5": md5_of(b"something else")}

        with pytest.raises(RetryJob, match="checksum"):
            store.download(uri, target, etag='"v1"')
        assert list(target.parent.iterdir()) == []

    def test_it_holds_over_a_resumed_body(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path
    ) -> None:
        call.headers = {"Content-MD5": md5_of(BODY)}
        ranges = breaking(internet, lambda handler, n: 100_000 if n == 1 else None)

        store.download(uri, target, etag='"v1"')

        assert target.read_bytes() == BODY
        assert ranges == ["", "bytes=100000-"]

    @pytest.mark.parametrize("rubbish", ["", "not base64", "c2hvcnQ=", "abc-3"])
    def test_rubbish_is_none(self, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, rubbish: str) -> None:
        call.headers = {"Content-MD5": rubbish}

        assert store.download(uri, target, etag='"v1"').size_bytes == len(BODY)


class TestSizes:
    def test_a_body_is_stored_raw(self, store: HttpsStore, uri: ObjectUri, call: Stored, target: Path) -> None:
        """Never unpacked: a bomb stays as small as it came."""
        call.headers = {"Content-Encoding": "gzip"}

        with pytest.raises(RejectJob, match="gzip"):
            store.download(uri, target, etag='"v1"')
        assert list(target.parent.iterdir()) == []

    @pytest.mark.parametrize("declared", [True, False])
    def test_what_is_larger_than_allowed_is_not_stored(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri, target: Path, declared: bool
    ) -> None:
        """Whatever HEAD said before."""

        def serve(handler: Handler) -> None:
            if declared:
                handler.answer(200, {"ETag": '"v1"'}, BODY)
            else:
                handler.begin(200, {"ETag": '"v1"', "Transfer-Encoding": "chunked"})
                handler.raw(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))

        internet.origin.scripts[PATH] = serve

        with pytest.raises(RejectJob) as refused:
            internet.store(clock, max_bytes=100_000).download(uri, target, etag='"v1"')
        assert refused.value.reason is Reason.SOURCE_TOO_LARGE
        assert list(target.parent.iterdir()) == []

    def test_what_says_itself_that_it_is_too_large_is_not_waited_for(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri, target: Path
    ) -> None:
        def promise(handler: Handler) -> None:
            handler.begin(200, {"ETag": '"v1"', "Content-Length": "1000000000000"})
            handler.rfile.read(1)  # nothing comes until we hang up

        internet.origin.scripts[PATH] = promise

        with pytest.raises(RejectJob, match="max_source_bytes"):
            internet.store(clock, timeout_s=1.0).download(uri, target, etag='"v1"')

    @pytest.mark.parametrize("etag", ['"v1"', None])
    def test_a_size_that_nobody_declares_may_be_any(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, target: Path, etag: str | None
    ) -> None:
        def serve(handler: Handler) -> None:
            handler.begin(200, {"ETag": etag, "Transfer-Encoding": "chunked"})
            if handler.command != "HEAD":
                handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))

        internet.origin.scripts[PATH] = serve

        store.download(uri, target, etag=store.head(uri).etag)

        assert target.read_bytes() == BODY

    def test_a_body_that_ends_with_its_connection_is_whole_only_if_it_is_as_long_as_before(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, target: Path
    ) -> None:
        """Nothing tells its end from a break."""
        left = [len(BODY), len(BODY), 1000]

        def serve(handler: Handler) -> None:
            handler.begin(200, {"ETag": '"v1"', "Connection": "close"})
            handler.raw(BODY[: left.pop(0)] if handler.command == "GET" else b"")

        internet.origin.scripts[PATH] = serve
        version = store.head(uri).etag

        assert store.download(uri, target, etag=version).size_bytes == len(BODY)
        target.unlink()
        with pytest.raises(ConditionFailed):
            store.download(uri, target, etag=version)
        assert list(target.parent.iterdir()) == []


def test_bytes_that_came_before_are_no_progress(
    internet: Internet, store: HttpsStore, uri: ObjectUri, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a body that can't be resumed each try begins anew: one that breaks now early, now late never gets further."""
    monkeypatch.setattr(https_download, "PROGRESS_BYTES", 10_000)
    gets: list[int] = []

    def serve(handler: Handler) -> None:
        if handler.command == "HEAD":
            handler.answer(405)
            return
        gets.append(20_000 if len(gets) % 2 else 40_000)
        if len(gets) > 10 * BREAKS:
            handler.answer(404)
            return
        handler.begin(200, {"Transfer-Encoding": "chunked"})
        handler.raw(b"%x\r\n" % gets[-1] + bytes(gets[-1]) + b"\r\n")

    internet.origin.scripts[PATH] = serve

    with pytest.raises(EnvironmentDown, match="broke off"):
        store.download(uri, target, etag=Headers(200, {}).version(0))
    assert len(gets) == 2 + BREAKS


def test_a_scratch_disk_that_fails_is_our_own_trouble(
    store: HttpsStore, uri: ObjectUri, call: Stored, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentDown) as down:
        store.download(uri, tmp_path / "nowhere" / "source", etag='"v1"')
    assert down.value.part is PauseReason.SCRATCH


@pytest.mark.parametrize("short_bytes", [1, len(BODY) // 2])
def test_a_disk_that_takes_a_part_only_is_our_own_trouble_too(
    store: HttpsStore, uri: ObjectUri, call: Stored, target: Path, short_bytes: int
) -> None:
    """What did not fit is not said to be the host's fault, nor the file to be whole."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) - short_bytes, hard))
    try:
        with pytest.raises(EnvironmentDown) as down:
            store.download(uri, target, etag='"v1"')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert down.value.part is PauseReason.SCRATCH
    assert list(target.parent.iterdir()) == []


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
