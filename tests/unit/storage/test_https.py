"""What the https store tells of an object, whatever its host says, and what becomes of a host's answers."""

from collections.abc import Mapping

import pytest

from tests.https_origin import HOST, PUBLIC, Handler, Internet, Script, Stored, TickingClock
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ObjectNotFound
from transcriber_worker.storage.https import HttpsStore
from transcriber_worker.storage.https_network import HEAD_BYTES, SLOWEST_BYTES_PER_S, Pace

PATH = "/public/call.wav"
OLD = 1_700_000_000.0


@pytest.fixture
def call(internet: Internet) -> Stored:
    internet.origin.objects[PATH] = stored = Stored(b"speech", '"v1"', OLD)
    return stored


class TestHead:
    def test_one_request_tells_all(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, clock: ManualClock
    ) -> None:
        info = store.head(uri)

        assert (info.etag, info.size_bytes, info.modified_at, info.observed_at) == ('"v1"', 6, OLD, clock.now())
        assert internet.origin.methods(PATH) == ["HEAD"]

    def test_the_time_is_the_hosts_own_where_it_tells(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored
    ) -> None:
        internet.origin.moment = lambda: OLD + 77

        assert store.head(uri).observed_at == OLD + 77

    def test_an_etag_without_quotes_is_one(self, store: HttpsStore, uri: ObjectUri, call: Stored) -> None:
        """As OCI sends it."""
        call.etag = "0b8c-41b6"

        assert store.head(uri).etag == "0b8c-41b6"

    @pytest.mark.parametrize("head", [True, False])
    @pytest.mark.parametrize("etag", ['W/"v1"', None, '"' + "x" * 5000 + '"', '"two", "tags"'])
    @pytest.mark.parametrize("ranges", [True, False])
    def test_without_a_strong_etag_time_and_size_are_the_version(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, etag: str, head: bool, ranges: bool
    ) -> None:
        call.etag, call.head, call.ranges = etag, head, ranges
        first = store.head(uri)
        same = store.head(uri)
        call.body = b"speech and more"
        longer = store.head(uri)
        call.body, call.modified_at = b"speech", OLD + 1
        newer = store.head(uri)

        assert (first.size_bytes, longer.size_bytes) == (6, 15)
        assert first.etag == same.etag
        assert len({first.etag, longer.etag, newer.etag}) == 3
        assert len(first.etag) < 64

    @pytest.mark.parametrize("status", [400, 401, 403, 405, 501])
    def test_a_url_that_is_good_for_get_alone_is_asked_for_its_first_byte(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int
    ) -> None:
        def for_get(handler: Handler) -> None:
            if handler.command == "HEAD":
                handler.answer(status)
            else:
                assert handler.headers["Range"] == "bytes=0-0"
                handler.answer(206, {"ETag": '"v1"', "Content-Range": "bytes 0-0/4711"}, b"s")

        internet.origin.scripts[PATH] = for_get

        info = store.head(uri)

        assert (info.etag, info.size_bytes) == ('"v1"', 4711)
        assert internet.origin.methods(PATH) == ["HEAD", "GET"]

    def test_a_host_that_tells_the_version_to_get_alone_is_asked_that_way(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored
    ) -> None:
        """Else a download would find another version, each time again."""

        def forgetful(handler: Handler) -> None:
            if handler.command == "HEAD":
                handler.answer(200, {"Content-Length": "6"})
            else:
                handler._serve(call)

        internet.origin.scripts[PATH] = forgetful

        assert store.head(uri).etag == '"v1"'

    @pytest.mark.parametrize("head", [True, False])
    def test_an_empty_object_has_no_first_byte(
        self, store: HttpsStore, uri: ObjectUri, call: Stored, head: bool
    ) -> None:
        call.body, call.head = b"", head

        assert store.head(uri).size_bytes == 0
        assert store.read(uri)[0] == b""

    def test_a_size_that_nobody_declares_is_counted(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri
    ) -> None:
        internet.origin.scripts[PATH] = chunked([b"some ", b"speech"], {"ETag": '"v1"'})

        info = store.head(uri)

        assert (info.size_bytes, info.etag) == (11, '"v1"')

    def test_counting_ends_where_the_source_is_too_large(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri
    ) -> None:
        """One more than the limit is enough for whoever compares."""
        internet.origin.scripts[PATH] = chunked([b"x" * 1000] * 100, {"ETag": '"v1"'})

        assert internet.store(clock, max_bytes=5000).head(uri).size_bytes == 5001

    def test_a_compressed_object_is_refused_and_told_why(self, store: HttpsStore, uri: ObjectUri, call: Stored) -> None:
        call.headers = {"Content-Encoding": "gzip"}

        for access in (store.head, store.read):
            with pytest.raises(RejectJob, match="Content-Encoding: gzip") as refused:
                access(uri)
            assert refused.value.reason is Reason.MEDIA_UNREADABLE

    def test_a_coding_that_changes_nothing_is_none(self, store: HttpsStore, uri: ObjectUri, call: Stored) -> None:
        call.headers = {"Content-Encoding": "aws-chunked"}

        assert store.head(uri).size_bytes == 6

    @pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Foo 2025 00:00:00 GMT", "0", "-1 -1 -1", "\x80" * 99])
    def test_dates_that_are_none_do_no_harm(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored, clock: ManualClock, date: str
    ) -> None:
        call.modified_at = None
        call.headers = {"Last-Modified": date, "Date": date}

        info = store.head(uri)

        assert (info.modified_at, info.observed_at) == (0.0, clock.now())


class TestAnswers:
    def answering(self, internet: Internet, status: int) -> None:
        internet.origin.scripts[PATH] = lambda handler: handler.answer(status)

    @pytest.mark.parametrize("status", [401, 403, 404, 410])
    def test_a_url_that_is_no_good_any_more_is_not_found(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int
    ) -> None:
        self.answering(internet, status)

        with pytest.raises(ObjectNotFound, match="expired"):
            store.head(uri)

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 501])
    def test_a_host_that_can_not_answer_now_is_down(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int
    ) -> None:
        self.answering(internet, status)

        for access in (store.head, store.read):
            with pytest.raises(EnvironmentDown, match=f"{HOST} answers {status}"):
                access(uri)

    @pytest.mark.parametrize("status", [400, 402, 418, 451])
    def test_what_it_will_never_answer_is_refused(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int
    ) -> None:
        self.answering(internet, status)

        with pytest.raises(RejectJob) as refused:
            store.head(uri)
        assert refused.value.reason is Reason.SOURCE_NOT_FOUND

    @pytest.mark.parametrize("status", [202, 204, 206, 300, 304])
    def test_what_is_no_object_is_tried_again(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int
    ) -> None:
        internet.origin.scripts[PATH] = lambda handler: handler.begin(status, {})

        with pytest.raises(RetryJob, match=f"{status}, which is no object"):
            store.read(uri)

    def test_a_refused_connection_is_an_outage(self, internet: Internet, store: HttpsStore, uri: ObjectUri) -> None:
        internet.dialler.dead = {PUBLIC}

        with pytest.raises(EnvironmentDown, match="can't be reached"):
            store.head(uri)

    @pytest.mark.parametrize("end", ["fin", "rst"])
    def test_a_connection_that_ends_without_an_answer_is_an_outage(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, end: str
    ) -> None:
        internet.origin.scripts[PATH] = lambda handler: handler.raw(b"") if end == "fin" else handler.reset()

        with pytest.raises(EnvironmentDown):
            store.head(uri)

    def test_a_host_that_says_nothing_is_an_outage(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri
    ) -> None:
        internet.origin.scripts[PATH] = lambda handler: handler.raw(handler.rfile.read(1))  # waits for us to hang up

        with pytest.raises(EnvironmentDown, match="does not answer in time"):
            internet.store(clock, timeout_s=0.1).head(uri)

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nspeech",
            b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\nspeech",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
            b"HTTP/9.9 twohundred\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 60_000 + b"\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 20_000,
        ],
        ids=["ssh", "two lengths", "no length", "nul", "no status", "long header", "many headers", "hints"],
    )
    def test_what_is_no_http_or_without_bounds_is_the_jobs_own_trouble(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, answer: bytes
    ) -> None:
        internet.origin.scripts[PATH] = lambda handler: handler.raw(answer)

        with pytest.raises(RetryJob, match="no HTTP"):
            store.head(uri)

    @pytest.mark.parametrize(
        "answer",
        [
            b"ERR /public/call.wav?sig=s3cr3t\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nunknown /public/call.wav?sig=s3cr3t\r\n\r\n",
            b'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n/public/call.wav?sig=s3cr3t\r\n',
        ],
        ids=["status line", "header", "chunk"],
    )
    def test_a_host_that_echoes_the_url_has_it_told_to_nobody(
        self, internet: Internet, store: HttpsStore, answer: bytes
    ) -> None:
        """What is told of a failure stands in records, letters and events."""
        internet.origin.scripts[PATH] = lambda handler: handler.raw(answer)

        with pytest.raises((RetryJob, EnvironmentDown)) as failed:
            store.read(ObjectUri.parse(f"https://{HOST}{PATH}?sig=s3cr3t"))
        assert "s3cr3t" not in str(failed.value)
        assert "call.wav" not in str(failed.value)

    def test_headers_at_a_drip_are_an_outage(self, internet: Internet, uri: ObjectUri) -> None:
        def drip(handler: Handler) -> None:
            handler.raw(b"HTTP/1.1 200 OK\r\n")
            for _ in range(10_000):
                handler.raw(b"X-Slow: 1\r\n")

        internet.origin.scripts[PATH] = drip

        with pytest.raises(EnvironmentDown, match="in time"):
            internet.store(TickingClock()).head(uri)

    def test_a_small_object_is_not_read_without_end(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri, call: Stored
    ) -> None:
        call.body = b"x" * 1001

        with pytest.raises(RejectJob) as refused:
            internet.store(clock, max_bytes=1000).read(uri)
        assert refused.value.reason is Reason.SOURCE_TOO_LARGE
        assert len(internet.store(clock, max_bytes=1001).read(uri)[0]) == 1001


def test_a_url_is_never_written_to(internet: Internet, store: HttpsStore, uri: ObjectUri, call: Stored) -> None:
    for refused in (
        lambda: store.write(uri, b"1", "text/plain"),
        lambda: store.delete(uri),
        lambda: list(store.list(ObjectUri.parse(f"https://{HOST}/public/"))),
    ):
        with pytest.raises(RejectJob, match="only read") as caught:
            refused()
        assert caught.value.reason is Reason.OUTPUT_NOT_ALLOWED
    assert internet.names.asked == []


class TestPace:
    def test_a_head_has_bounds_in_bytes_and_time(self, clock: ManualClock) -> None:
        pace = Pace(clock, 10.0)
        pace.begin_head()
        pace.received(HEAD_BYTES)
        with pytest.raises(Exception, match="too long"):
            pace.received(1)

        pace.begin_head()
        clock.advance(9)
        pace.received(HEAD_BYTES)
        clock.advance(1)
        with pytest.raises(Exception, match="too slowly"):
            pace.received(0)

    def test_a_body_must_keep_up_over_each_stretch(self, clock: ManualClock) -> None:
        pace = Pace(clock, 60.0)
        pace.begin_body()
        for _ in range(100):
            clock.advance(60)
            pace.delivered(60 * SLOWEST_BYTES_PER_S)

        clock.advance(59)
        pace.delivered(1)
        clock.advance(1)
        with pytest.raises(Exception, match="too slowly"):
            pace.delivered(1)

    def test_bytes_that_are_no_body_do_not_count(self, clock: ManualClock) -> None:
        """Chunk extensions and the like could go on forever."""
        pace = Pace(clock, 60.0)
        pace.begin_body()
        clock.advance(60)
        with pytest.raises(Exception, match="too slowly"):
            pace.received(100 * 1024 * 1024)


def chunked(pieces: list[bytes], headers: Mapping[str, str]) -> Script:
    """A script that answers GET without telling a size."""

    def answer(handler: Handler) -> None:
        handler.begin(200, {"Transfer-Encoding": "chunked", **headers})
        if handler.command != "HEAD":
            for piece in pieces:
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.write(b"0\r\n\r\n")

    return answer
