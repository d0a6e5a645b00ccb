"""Every fault really happens: seen by the real SDK and, where it hides too much, by a plain HTTP client."""

import gzip
from collections.abc import Iterator

import httpx
import oci
import pytest

from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import Effect, FaultKind
from tests.oci_emulator.objects_model import base64_md5
from tests.unit.oci_emulator.raw import RawConnection
from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, get, put, refusal

SOUND = bytes(range(256)) * 40
FIRST = 1000
STALL_S = 30.0
"""Longer than any test: the client has to give up."""


@pytest.fixture
def url(emu: Emulator) -> str:
    """Of an object that needs no signature."""
    emu.put_object(BUCKET, "call.wav", SOUND)
    return emu.create_par(BUCKET, "call.wav", "ObjectReadWrite")


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=0.5) as client:
        yield client


def received(http: httpx.Client, url: str, **headers: str) -> tuple[bytes, Exception | None]:
    """What of a body came, and how it ended."""
    body = bytearray()
    try:
        with http.stream("GET", url, headers=headers) as answer:
            for piece in answer.iter_raw():
                body += piece
    except httpx.TransportError as error:
        return bytes(body), error
    return bytes(body), None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_is_answered_as_often_as_told(emu: Emulator, store: Store, status: int) -> None:
    emu.fault(FaultKind.ANSWER, "PutObject", times=2, status=status, code="Told", headers={"retry-after": "7"})

    for _ in range(2):
        with pytest.raises(oci.exceptions.ServiceError) as caught:
            put(store, "call.wav")
        assert (caught.value.status, caught.value.code, caught.value.headers["retry-after"]) == (status, "Told", "7")
    assert emu.list_objects(BUCKET) == []
    put(store, "call.wav")
    assert emu.fired() == [2]


def test_faults_choose_by_operation_and_name(emu: Emulator, store: Store) -> None:
    emu.fault(FaultKind.ANSWER, "PutObject", "bad/", times=None, status=503)

    put(store, "good/call.wav")
    for _ in range(3):
        assert refusal(put, store, "bad/call.wav")[0] == 503
    assert refusal(get, store, "bad/call.wav")[0] == 404
    emu.clear_faults()
    put(store, "bad/call.wav")


def test_a_fault_may_let_the_first_requests_pass(emu: Emulator, store: Store) -> None:
    emu.fault(FaultKind.ANSWER, "PutObject", skip=2, status=503)

    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(put(store, "call.wav") and 200)
        except oci.exceptions.ServiceError as error:
            outcomes.append(error.status)

    assert outcomes == [200, 200, 503, 200]


def test_chance_is_repeatable(emu: Emulator, url: str, http: httpx.Client) -> None:
    runs = []
    for _ in range(2):
        emu.clear_faults(seed=5)
        emu.fault(FaultKind.ANSWER, "GetObject", times=None, probability=0.5, status=503)
        runs.append([http.get(url).status_code for _ in range(40)])

    assert runs[0] == runs[1]
    assert 5 < runs[0].count(503) < 35


def test_a_bucket_may_seem_gone_for_a_moment(emu: Emulator, store: Store) -> None:
    emu.put_object(BUCKET, "call.wav", SOUND)
    emu.fault(FaultKind.ANSWER, "GetObject", status=404, code="BucketNotFound", message="Either the bucket ...")

    assert refusal(get, store, "call.wav") == (404, "BucketNotFound")
    assert get(store, "call.wav").data.content == SOUND


def test_a_token_may_be_refused_once_or_always(emu: Emulator, store: Store) -> None:
    emu.fault(FaultKind.ANSWER, status=401, code="NotAuthenticated")
    assert refusal(put, store, "call.wav") == (401, "NotAuthenticated")
    put(store, "call.wav")

    emu.fault(FaultKind.ANSWER, times=None, status=401, code="NotAuthenticated")
    for _ in range(3):
        assert refusal(put, store, "call.wav") == (401, "NotAuthenticated")


@pytest.mark.parametrize("status", [409, 429])
def test_conflicts_may_be_told(emu: Emulator, store: Store, status: int) -> None:
    emu.fault(FaultKind.ANSWER, "PutObject", status=status, code="ConcurrentObjectUpdate")

    assert refusal(put, store, "call.wav") == (status, "ConcurrentObjectUpdate")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", '{"code": "broken'])
def test_errors_may_be_no_json(emu: Emulator, store: Store, body: str) -> None:
    emu.fault(FaultKind.ANSWER, "GetObject", status=502, body=body)

    assert refusal(get, store, "call.wav") == (502, None)


def test_an_answer_may_be_garbage_with_success(emu: Emulator, store: Store) -> None:
    put(store, "call.wav")
    emu.fault(FaultKind.ANSWER, "ListObjects", status=200, body="", headers={"content-type": "application/json"})

    assert store.list_objects(NS, BUCKET).data.objects is None


@pytest.mark.parametrize("kind", [FaultKind.ANSWER, FaultKind.RESET])
def test_the_answer_of_a_write_that_was_done_may_be_lost(emu: Emulator, store: Store, kind: FaultKind) -> None:
    emu.fault(kind, "PutObject", committed=True, status=500)

    with pytest.raises((oci.exceptions.ServiceError, oci.exceptions.RequestException)):
        put(store, "call.wav", if_none_match="*")

    assert emu.get_object(BUCKET, "call.wav") == b"sound"
    assert refusal(put, store, "call.wav", if_none_match="*") == (412, "IfNoneMatchFailed")


def test_a_connection_may_be_reset_before_the_write_is_done(emu: Emulator, store: Store) -> None:
    emu.fault(FaultKind.RESET, "PutObject")

    with pytest.raises(oci.exceptions.RequestException, match="reset"):
        put(store, "call.wav")

    assert emu.list_objects(BUCKET) == []
    assert emu.requests()[-1]["status"] is None


def test_headers_may_be_slow(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.SLOW_HEADERS, "GetObject", seconds=0.05)
    emu.fault(FaultKind.SLOW_HEADERS, "GetObject", seconds=STALL_S)

    assert http.get(url).content == SOUND
    with pytest.raises(httpx.ReadTimeout):
        http.get(url)


def test_a_body_may_drip(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.DRIP, "GetObject", at_bytes=FIRST, seconds=0.02)
    emu.fault(FaultKind.DRIP, "GetObject", at_bytes=FIRST, seconds=STALL_S)

    assert received(http, url) == (SOUND, None)
    body, error = received(http, url)
    assert body == SOUND[:FIRST]
    assert isinstance(error, httpx.ReadTimeout)


def test_a_body_may_stall(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.STALL, "GetObject", at_bytes=FIRST, seconds=STALL_S)

    body, error = received(http, url)

    assert body == SOUND[:FIRST]
    assert isinstance(error, httpx.ReadTimeout)


def test_a_body_may_end_with_a_reset(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.RESET_BODY, "GetObject", at_bytes=FIRST)

    body, error = received(http, url)

    assert body in (SOUND[:FIRST], b"")  # a reset may overtake what came before it
    assert isinstance(error, httpx.ReadError)
    assert "104" in repr(error) or "reset" in repr(error)


def test_a_body_may_end_early(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=FIRST)

    body, error = received(http, url)

    assert body == SOUND[:FIRST]
    assert isinstance(error, httpx.RemoteProtocolError)


def test_a_length_may_be_too_long(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.WRONG_LENGTH, "GetObject", at_bytes=10)

    body, error = received(http, url)

    assert body == SOUND
    assert isinstance(error, httpx.RemoteProtocolError)


def test_a_length_may_be_too_short(emu: Emulator, url: str, http: httpx.Client) -> None:
    """The worst of them: nothing looks wrong but the checksum."""
    emu.fault(FaultKind.WRONG_LENGTH, "GetObject", at_bytes=-10)

    assert http.get(url).content == SOUND[:-10]


def test_a_byte_may_be_wrong(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.CORRUPT, "GetObject", at_bytes=-1)

    found = http.get(url)

    assert found.content == SOUND[:-1] + b"\x00"
    assert found.headers["content-md5"] == base64_md5(SOUND)


def test_checksums_may_be_missing(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.NO_MD5, "GetObject")

    found = http.get(url)

    assert found.content == SOUND
    assert not {"content-md5", "opc-content-md5"} & set(found.headers)


def test_a_body_may_be_compressed_on_its_way(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.GZIP, "GetObject")

    body, _ = received(http, url)

    assert body != SOUND
    assert gzip.decompress(body) == SOUND


@pytest.mark.parametrize(("effect", "status"), [(Effect.REPLACE, 412), (Effect.DELETE, 404)])
def test_an_object_may_change_while_it_is_read(
    emu: Emulator, url: str, http: httpx.Client, effect: Effect, status: int
) -> None:
    """The rest, asked for by range, is not that of the first part."""
    etag = http.head(url).headers["etag"]
    emu.fault(FaultKind.FIN_BODY, "GetObject", at_bytes=FIRST, then=effect)

    assert received(http, url)[0] == SOUND[:FIRST]

    rest = http.get(url, headers={"range": f"bytes={FIRST}-", "if-match": etag})
    assert rest.status_code == status


def test_a_replaced_object_looks_alike_from_outside(emu: Emulator, url: str, http: httpx.Client) -> None:
    emu.fault(FaultKind.EFFECT, "HeadObject", then=Effect.REPLACE)
    before = http.head(url)

    after = http.get(url)

    assert before.headers["content-length"] == after.headers["content-length"]
    assert before.headers["etag"] != after.headers["etag"]
    assert after.content != SOUND


def test_a_connection_may_be_closed_between_requests(emu: Emulator, url: str) -> None:
    emu.fault(FaultKind.CLOSE_AFTER, "GetObject")

    with RawConnection(emu.url) as connection:
        assert connection.ask(url) == SOUND
        assert connection.ask(url) is None


def test_a_connection_may_be_reset_by_the_next_request(emu: Emulator, url: str) -> None:
    emu.fault(FaultKind.RESET_NEXT, "GetObject")

    with RawConnection(emu.url) as connection:
        assert connection.ask(url) == SOUND
        assert connection.ask(url) is None
    assert emu.counts()["GetObject"] == 1


def test_nobody_answers_while_it_is_down(emu: Emulator, url: str, http: httpx.Client) -> None:
    with RawConnection(emu.url) as connection:
        assert connection.ask(url) == SOUND
        emu.down()
        assert connection.ask(url) is None
    with pytest.raises(httpx.ConnectError, match="refused"):
        http.get(url)

    emu.up()

    assert http.get(url).content == SOUND
