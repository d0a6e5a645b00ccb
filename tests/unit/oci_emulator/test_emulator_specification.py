"""Every operation's answers, and many refusals, are as Oracle specifies them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from tests.oci_emulator.signatures import Checking
from tests.oci_emulator.validation import SPECIFICATIONS, Exchange, Specification
from tests.unit.oci_emulator.sdk import BUCKET, NS

pytestmark = pytest.mark.skipif(not SPECIFICATIONS.is_dir(), reason="Oracle's specifications are not on this machine")

B = f"/n/{NS}/b/{BUCKET}"
Q = "/20210201/queues"


class Recorder:
    """Asks and remembers what was answered, and which operations the emulator took it for."""

    def __init__(self, emu: Emulator) -> None:
        self._emu = emu
        self._connection = HTTPConnection(urlsplit(emu.url).netloc, timeout=10)
        self.exchanges: list[Exchange] = []

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Exchange:
        """`body`: bytes, or what is to be JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, raw, named)
        answer = self._connection.getresponse()
        given = {name.lower(): value for name, value in answer.getheaders()}
        self.exchanges.append(Exchange(method, target, answer.status, given, answer.read()))
        return self.exchanges[-1]

    def json(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        return json.loads(self.ask(method, target, body, **headers).body)

    def problems(self, specification: Specification) -> list[str]:
        operations = [entry["operation"] for entry in self._emu.requests()]
        assert len(operations) == len(self.exchanges)
        return [
            f"{exchange.method} {exchange.target} -> {exchange.status}: {problem}"
            for exchange, operation in zip(self.exchanges, operations, strict=True)
            for problem in specification.problems(exchange, operation)
        ]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def recorder(emu: Emulator) -> Iterator[Recorder]:
    emu.check_signatures(Checking.OFF)
    recorder = Recorder(emu)
    yield recorder
    recorder.close()


def test_object_storage_answers_as_specified(emu: Emulator, recorder: Recorder) -> None:
    ask_for_buckets_and_objects(recorder)
    ask_for_uploads(recorder)
    ask_for_pars(recorder, emu.now())
    ask_for_nonsense(recorder)

    assert recorder.problems(Specification(SPECIFICATIONS / "oci-objectstorage.yaml")) == []
    assert set(emu.counts()) == {
        "GetNamespace", "ListBuckets", "CreateBucket", "HeadBucket", "GetBucket", "DeleteBucket", "PutObject",
        "GetObject", "HeadObject", "DeleteObject", "ListObjects", "RenameObject", "CopyObject", "CreateMultipartUpload",
        "ListMultipartUploads", "UploadPart", "ListMultipartUploadParts", "CommitMultipartUpload",
        "AbortMultipartUpload", "CreatePreauthenticatedRequest", "ListPreauthenticatedRequests",
        "GetPreauthenticatedRequest", "DeletePreauthenticatedRequest",
    }  # fmt: skip


def ask_for_buckets_and_objects(recorder: Recorder) -> None:
    ask = recorder.ask
    ask("GET", "/n/")
    ask("POST", f"/n/{NS}/b/", {"name": "other", "compartmentId": "c"})
    ask("POST", f"/n/{NS}/b/", {"name": "other", "compartmentId": "c"})
    ask("GET", f"/n/{NS}/b/?compartmentId=c&limit=1")
    for method in ("GET", "HEAD"):
        ask(method, f"{B}/")
    etag = ask("PUT", f"{B}/o/a%2Fb", b"sound", opc_meta_job="7", opc_client_request_id="mine").headers["etag"]
    ask("PUT", f"{B}/o/a%2Fb", b"sound", if_none_match="*")
    ask("PUT", f"{B}/o/old", b"sound", storage_tier="Archive")
    for method in ("GET", "HEAD"):
        ask(method, f"{B}/o/a%2Fb")
        ask(method, f"{B}/o/a%2Fb", if_none_match=etag)
        ask(method, f"{B}/o/a%2Fb", if_match="other")
        ask(method, f"{B}/o/none")
    assert ask("GET", f"{B}/o/a%2Fb", range="bytes=1-2").headers["content-range"] == "bytes 1-2/5"
    ask("GET", f"{B}/o/old")
    every = "name,size,etag,md5,timeCreated,timeModified,storageTier,archivalState"
    ask("GET", f"{B}/o?fields={quote(every)}&delimiter=/")
    ask("GET", f"{B}/o?limit=1")
    ask("POST", f"{B}/actions/renameObject", {"sourceName": "a/b", "newName": "c"})
    copied = {"sourceObjectName": "c", "destinationRegion": "r", "destinationNamespace": NS}
    ask("POST", f"{B}/actions/copyObject", {**copied, "destinationBucket": "other", "destinationObjectName": "d"})
    ask("DELETE", f"/n/{NS}/b/other/")
    ask("DELETE", f"/n/{NS}/b/other/o/d")
    ask("DELETE", f"/n/{NS}/b/other/")


def ask_for_uploads(recorder: Recorder) -> None:
    ask = recorder.ask
    for name in ("long", "dropped"):
        upload = recorder.json("POST", f"{B}/u", {"object": name})["uploadId"]
        where = f"{B}/u/{name}?uploadId={upload}"
        etag = ask("PUT", f"{where}&uploadPartNum=1", b"sound").headers["etag"]
        ask("GET", where)
        ask("GET", f"{B}/u")
        if name == "dropped":
            ask("DELETE", where)
        else:
            ask("POST", where, {"partsToCommit": [{"partNum": 1, "etag": etag}]})
        ask("PUT", f"{where}&uploadPartNum=1", b"sound")
    assert "opc-multipart-md5" in ask("GET", f"{B}/o/long").headers


def ask_for_pars(recorder: Recorder, now: float) -> None:
    expires = (datetime.fromtimestamp(now, UTC) + timedelta(hours=1)).isoformat()
    details = {"name": "share", "accessType": "ObjectRead", "objectName": "long", "timeExpires": expires}
    made = recorder.json("POST", f"{B}/p/", details)
    recorder.ask("POST", f"{B}/p/", {**details, "accessType": "AnyObjectRead", "bucketListingAction": "ListObjects"})
    recorder.ask("GET", f"{B}/p/")
    recorder.ask("GET", f"{B}/p/{quote(made['id'], safe='')}")
    recorder.ask("DELETE", f"{B}/p/{quote(made['id'], safe='')}")
    recorder.ask("GET", f"{B}/p/{quote(made['id'], safe='')}")


def ask_for_nonsense(recorder: Recorder) -> None:
    for target in (f"/n/{NS}/b/none/o/x", f"/n/none/b/{BUCKET}/o/x", f"{B}/o?limit=0"):
        recorder.ask("GET", target)
    recorder.ask("POST", f"{B}/u", b"no json")
    recorder.ask("PUT", f"{B}/o/x", b"sound", content_md5="wrong")
    recorder.ask("DELETE", f"{B}/o/c", if_match="other")


def test_the_queue_answers_as_specified(emu: Emulator, recorder: Recorder) -> None:
    ask, json_of = recorder.ask, recorder.json
    ask("POST", Q, {"displayName": "jobs", "compartmentId": "c"})
    queue = f"{Q}/{next(iter(emu.dump()['queues']))}"
    ask("GET", queue)
    ask("GET", f"{Q}/none")
    metadata = {"channelId": "c", "customProperties": {"k": "v"}}
    bodies = [{"content": f"{n}", **({"metadata": metadata} if n % 2 else {})} for n in range(6)]
    ask("POST", f"{queue}/messages", {"messages": bodies})
    ask("POST", f"{queue}/messages", {"messages": []})
    ask("GET", f"{queue}/messages?limit=21")
    taken = [message for _ in range(4)
             for message in json_of("GET", f"{queue}/messages?limit=2&timeoutInSeconds=0")["messages"]]  # fmt: skip
    receipts = [quote(message["receipt"], safe="") for message in taken]
    ask("GET", f"{queue}/channels")
    ask("GET", f"{queue}/stats")
    ask("GET", f"{queue}/stats?channelId=c")
    ask("PUT", f"{queue}/messages/{receipts[0]}", {"visibilityInSeconds": 60})
    ask("PUT", f"{queue}/messages/{receipts[0]}", {"visibilityInSeconds": -1})
    ask("DELETE", f"{queue}/messages/{receipts[0]}")
    ask("DELETE", f"{queue}/messages/{receipts[0]}")
    batch = [{"receipt": message["receipt"]} for message in taken]
    ask("POST", f"{queue}/messages/actions/updateMessages",
        {"entries": [{**entry, "visibilityInSeconds": 9} for entry in batch]})  # fmt: skip
    ask("POST", f"{queue}/messages/actions/deleteMessages", {"entries": batch})
    ask("POST", f"{queue}/actions/purge", {"purgeType": "BOTH"})
    ask("GET", f"{queue}/messages?timeoutInSeconds=0")

    assert recorder.problems(Specification(SPECIFICATIONS / "oci-queue.yaml")) == []
    assert set(emu.counts()) == {
        "CreateQueue", "GetQueue", "PutMessages", "GetMessages", "UpdateMessage", "DeleteMessage", "UpdateMessages",
        "DeleteMessages", "GetStats", "ListChannels", "PurgeQueue",
    }  # fmt: skip


def test_injected_errors_have_the_specified_form(emu: Emulator, recorder: Recorder) -> None:
    for status in (401, 404, 409, 412, 429, 500):
        emu.fault(FaultKind.ANSWER, "PutObject", status=status, code="Told")
        assert recorder.ask("PUT", f"{B}/o/x", b"sound").status == status

    assert recorder.problems(Specification(SPECIFICATIONS / "oci-objectstorage.yaml")) == []


def test_what_is_not_as_specified_is_found() -> None:
    """The check itself can fail."""
    specification = Specification(SPECIFICATIONS / "oci-queue.yaml")
    headers = {"opc-request-id": "x"}
    target = "/20210201/queues/q/messages"

    def found(body: object, status: int = 200, headers: dict[str, str] = headers) -> list[str]:
        exchange = Exchange("GET", target, status, headers, json.dumps(body).encode())
        return specification.problems(exchange, "GetMessages")

    message = {
        "id": 1, "content": "", "receipt": "r", "deliveryCount": 1, "createdAt": "2026-11-21T01:20:27.405Z",
        "visibleAfter": "2026-11-21T01:20:27.405Z", "expireAfter": "2026-11-21T01:20:27.405Z",
    }  # fmt: skip
    assert found({"messages": [message]}) == []
    assert "headers" in found({"messages": [{**message, "headers": {}}]})[0]
    assert "date-time" in found({"messages": [{**message, "createdAt": "2026-11-21T01:20:27Z"}]})[0]
    assert "deliveryCount" in found({"messages": [{**message, "deliveryCount": "1"}]})[0]
    assert found({}) != []
    assert found({"messages": []}, headers={}) == ["no header opc-request-id"]
    assert found({"code": "x", "message": "y"}, 418) == ["GetMessages declares no 418"]
