"""Hundreds of requests by publishers who mean harm, each through the real pipeline of a worker: refused with a reason,
and nothing outside the allowed places read or written."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.https_origin import HOST, OTHER_HOST, PUBLIC, Handler, Internet, Stored, serving
from tests.workbench import Workbench
from transcriber_worker.domain.errors import Reason
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.records import JobRecords
from transcriber_worker.storage.base import ObjectInfo
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.storage.router import StoreRouter

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 - made up
CANARY = b"7"
"""Outside files hold what the scripted reader would gladly transcribe."""
INVALID, SOURCE, OUTPUT = Reason.INVALID_REQUEST, Reason.SOURCE_NOT_ALLOWED, Reason.OUTPUT_NOT_ALLOWED
PRIVATE_HOSTS = {
    f"private-{n}.example.com": addresses
    for n, addresses in enumerate(
        [
            ["127.0.0.1"], ["127.255.255.254"], ["0.0.0.0"], ["10.0.0.1"], ["172.16.5.4"], ["192.168.1.1"],  # noqa: S104
            ["100.64.0.1"], ["169.254.169.254"], ["168.63.129.16"], ["192.0.0.192"], ["224.0.0.1"],
            ["255.255.255.255"], ["198.18.0.1"], ["::1"], ["::"], ["fe80::1"], ["fd00:ec2::254"], ["ff02::1"],
            ["::ffff:127.0.0.1"], ["::ffff:169.254.169.254"], ["64:ff9b::a9fe:a9fe"], ["2002:7f00:1::1"],
            ["2001::1"], [PUBLIC, "10.0.0.1"], ["fd00::1", PUBLIC],
        ]
    )
}  # fmt: skip
REDIRECTS = [
    "http://169.254.169.254/opc/v2/instance/", "https://169.254.169.254/opc/v2/instance/", "https://127.0.0.1/x.wav",
    "https://[::1]/x.wav", "https://localhost/x.wav", f"https://{OTHER_HOST}/public/x.wav", "//10.0.0.1/x.wav",
    f"https://{HOST}/private/x.wav", "../private/x.wav", "/public/%2e%2e/private/x.wav", "/public/..%2fprivate/x.wav",
    "/public/%252e%252e/private/x.wav", f"https://user:word@{HOST}/public/x.wav", f"https://{HOST}:22/public/x.wav",
    "http://files.example.com/public/good.wav", "file:///etc/passwd", "oci://calls@ns/in/x.wav", "ftp://a/x.wav",
    "gopher://a/x", "data:audio/wav;base64,UklGRg==", "https://0x7f.1/x.wav", "https://2130706433/x.wav",
    f"https://{next(iter(PRIVATE_HOSTS))}/public/x.wav",
]  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A message, and the reasons that are right for it."""

    body: Mapping[str, Any]
    reasons: frozenset[Reason]
    before: Callable[["Scene"], None] = lambda scene: None


def hostile(source: str, *reasons: Reason, **fields: Any) -> Hostile:
    return Hostile({"source": source, **fields}, frozenset(reasons))


@dataclass
class Scene:
    """A worker with a bucket prefix, a folder and two URL prefixes that it may read; canaries lie beside all of it."""

    folder: Path
    internet: Internet
    had: list[ObjectUri] = field(default_factory=list)
    """What the worker got the bytes of."""

    def __post_init__(self) -> None:
        self.allowed = self.folder / "allowed"
        self.outside = self.folder / "outside"
        urls = [f"https://{host}/public/" for host in (HOST, *PRIVATE_HOSTS)]
        sources = [f"file://{self.allowed}/", "oci://calls@ns/in/", *urls]
        for place in (self.allowed, self.outside):
            place.mkdir()
        (self.allowed / "good.wav").write_bytes(b"2")
        (self.outside / "canary.wav").write_bytes(CANARY)
        for path in ("/public/good.wav", "/public/x.wav"):
            self.internet.origin.objects[path] = Stored(b"2")
        for path in ("/private/x.wav", "/canary.wav", "/x.wav", "/opc/v2/instance/"):
            self.internet.origin.objects[path] = Stored(CANARY)
        self.internet.names.answers |= {host: [addresses] for host, addresses in PRIVATE_HOSTS.items()}
        self.bench = Workbench(self.folder / "worker", {"storage": {"allowed_sources": sources}})
        roots = [uri for uri in self.bench.places.all if uri.scheme == "file"]
        files = DirectoryStore(self.bench.clock, 1.0, roots)
        https = self.internet.store(self.bench.clock, urls, timeout_s=5.0)
        self.bench.store = _Watched({"file": files, "https": https}, self.had)  # type: ignore[assignment]
        self.bench.records = JobRecords(self.bench.store, self.bench.places.state)

    def attend(self, body: Mapping[str, Any]) -> tuple[Ending | None, Reason | None, str]:
        """Publish a message and see it to its end."""
        self.bench.broker.publish(json.dumps(body).encode(), {})
        outcome = self.bench.attend()
        reason = Reason(outcome.reason) if outcome.reason else None
        return outcome.ending, reason, outcome.message or ""

    def good(self, number: int) -> list[dict[str, str]]:
        """Honest requests, so that refusing is not all the worker does."""
        output = f"{self.bench.places.output}good-{number}/"
        sources = (f"file://{self.allowed}/good.wav", f"https://{HOST}/public/good.wav?token={TOKEN}")
        return [{"source": source, "output": output} for source in sources]

    def everything(self) -> dict[str, bytes | str]:
        """Every file there is but the worker's own, with its content; links as where they point."""
        found: dict[str, bytes | str] = {}
        for above, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if Path(above, name) != self.folder / "worker"]
            for name in [*names, *folders]:
                path = Path(above, name)
                found[str(path)] = str(path.readlink()) if path.is_symlink() else ""
                if path.is_file() and not path.is_symlink():
                    found[str(path)] = path.read_bytes()
        return found


class _Watched(StoreRouter):
    """The stores, and a list of the sources whose bytes they gave."""

    def __init__(self, stores: Mapping[str, Any], had: list[ObjectUri]) -> None:
        super().__init__(stores)
        self._had = had

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        info = super().download(uri, path, etag=etag)
        self._had.append(uri)
        return info


def buckets(scene: Scene) -> Iterator[Hostile]:
    for bucket in ("secrets@ns", "calls@other", "calls2@ns", "Calls@ns", "calls@ns2", "calls.@ns", "transcripts@ns"):
        yield hostile(f"oci://{bucket}/in/x.wav", SOURCE)
        yield hostile(f"oci://{bucket}/in/calls@ns/in/x.wav", SOURCE)
    for key in (
        "inbox/x.wav", "in", "IN/x.wav", " in/x.wav", "/in/x.wav", "other/in/x.wav", "in%2Fx.wav", "%69n/x.wav",
    ):  # fmt: skip
        yield hostile(f"oci://calls@ns/{key}", SOURCE)
    for authority in (
        "calls", "@ns", "calls@", "calls@ns@evil", "ca lls@ns", "calls@ns:443", "calls@ns?x", "calls@ns#x",
    ):  # fmt: skip
        yield hostile(f"oci://{authority}/in/x.wav", INVALID)
    for name, bucket in (("in/x.wav", "secrets"), ("inbox/x.wav", "calls"), ("../x.wav", "calls"), ("in/\n", "calls"),
                         ("x", "calls@ns/in"), ("in/../../x.wav", "calls")):  # fmt: skip
        details = {"bucketName": bucket, "namespace": "ns", "eTag": "1"}
        event = {"eventType": "com.oraclecloud.objectstorage.createobject", "data": {"resourceName": name}}
        event["data"]["additionalDetails"] = details  # type: ignore[index]
        yield Hostile(event, frozenset({INVALID, SOURCE}))


def traversals(scene: Scene) -> Iterator[Hostile]:
    file, url = f"file://{scene.allowed}", f"https://{HOST}/public"
    for dots in ("..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "."):
        for root in (file, url, "oci://calls@ns/in"):
            if root.startswith("oci") and "%" in dots:
                continue  # names of objects are not encoded
            yield hostile(f"{root}/{dots}/outside/canary.wav", INVALID)
    for trick in ("..%2foutside%2fcanary.wav", "%2e%2e%2foutside/canary.wav", "a/../../outside/canary.wav"):
        yield hostile(f"{file}/{trick}", INVALID)
        yield hostile(f"{url}/{trick}", INVALID)
    for trick in ("%252e%252e/private/x.wav", "..;/private/x.wav", "..%5cprivate%5cx.wav", "..\\private\\x.wav",
                  "%25252e%25252e%25252fprivate/x.wav", "a%5c..%5c..%5cprivate/x.wav"):  # fmt: skip
        yield hostile(f"{url}/{trick}", SOURCE, OUTPUT)
    for path in (f"{scene.outside}/canary.wav", "/etc/passwd", "/proc/self/environ", f"{scene.allowed}2/x.wav", "/"):
        yield hostile(f"file://{path}", SOURCE, INVALID)


def schemes(scene: Scene) -> Iterator[Hostile]:
    there = f"{HOST}/public/good.wav"
    for scheme in (
        "http", "ftp", "ftps", "sftp", "gopher", "dict", "ldap", "smb", "s3", "gs", "az", "jar", "tftp", "rtsp",
        "rtmp", "ws", "unix", "php", "concat", "pipe", "fd", "HTTPS", "File", "OCI", "https ", "",
    ):  # fmt: skip
        yield hostile(f"{scheme}://{there}", INVALID)
    for text in (
        "data:audio/wav;base64,UklGRg==", "javascript:alert(1)", "/etc/passwd", "canary.wav", "https:/x/y",
        "https:x", "file:/etc/passwd", "file://localhost/etc/passwd", "//files.example.com/public/x.wav",
        "-i /etc/passwd", "|id", "$(id)", "concat:/etc/passwd|/etc/hosts", "subfile:/etc/passwd",
    ):  # fmt: skip
        yield hostile(text, INVALID)


def control_characters(scene: Scene) -> Iterator[Hostile]:
    roots = (f"file://{scene.allowed}", f"https://{HOST}/public", "oci://calls@ns/in")
    for code in (*range(0x20), 0x7F):
        yield hostile(f"{roots[code % 3]}/a{chr(code)}b.wav", INVALID)
        if code % 4 == 0:
            yield hostile(f"{roots[code // 4 % 2]}/a%{code:02x}b.wav", INVALID)
    for text in (f"https://{HOST}\r\nX-Evil: 1/public/x.wav", f"https://{HOST}/public/x.wav HTTP/1.1\r\nHost: evil"):
        yield hostile(text, INVALID)


def hosts(scene: Scene) -> Iterator[Hostile]:
    for authority in (
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "127.1", "[::1]",
        "[::ffff:127.0.0.1]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "metadata.internal", OTHER_HOST,
        f"{HOST}.", f"{HOST}:8443", f"{HOST}:22", f"x.{HOST}", f"{HOST}.evil.example", f"evil{HOST}",
        "files-example.com", "xn--files-9ta.example.com", "ﬁles.example.com",
    ):  # fmt: skip
        yield hostile(f"https://{authority}/public/good.wav?token={TOKEN}", SOURCE, INVALID)
    for authority in (f"user:{TOKEN}@{HOST}", f"{HOST}@127.0.0.1", f"{HOST}:x@127.0.0.1", "", ":443", "[::1", "[",
                      f"{HOST}:99999", f"{HOST}:-1", f"{HOST}\\@127.0.0.1"):  # fmt: skip
        yield hostile(f"https://{authority}/public/good.wav", INVALID, SOURCE)
    for path in ("", "/", "/public", "/public/", "/publicity/x.wav", "/Public/x.wav", "/private/x.wav", "/?/public/x"):
        yield hostile(f"https://{HOST}{path}", SOURCE, INVALID)


def addresses(scene: Scene) -> Iterator[Hostile]:
    for host in PRIVATE_HOSTS:
        yield hostile(f"https://{host}/public/x.wav?token={TOKEN}", SOURCE)


def rebinding(scene: Scene) -> Iterator[Hostile]:
    """Public when the source is looked at, private when it is downloaded; one label of DNS for each."""
    for n, (_, private) in enumerate(sorted(PRIVATE_HOSTS.items())[:12]):

        def turn(scene: Scene, private: list[str] = private) -> None:
            scene.internet.names.answers[HOST] = [[PUBLIC], private]

        yield Hostile({"source": f"https://{HOST}/public/x.wav?{n}&token={TOKEN}"}, frozenset({SOURCE}), turn)


def redirects(scene: Scene) -> Iterator[Hostile]:
    def to(location: str) -> Callable[[Handler], None]:
        return lambda handler: handler.answer(302, {"Location": location})

    for n, location in enumerate(REDIRECTS):
        scene.internet.origin.scripts[f"/public/hop-{n}.wav"] = to(location)
        scene.internet.origin.scripts[f"/public/twice-{n}.wav"] = to(f"/public/hop-{n}.wav")
        yield hostile(f"https://{HOST}/public/hop-{n}.wav?token={TOKEN}", SOURCE)
        if n % 3 == 0:
            yield hostile(f"https://{HOST}/public/twice-{n}.wav", SOURCE)
    scene.internet.origin.scripts["/public/loop.wav"] = to("/public/loop.wav")
    yield hostile(f"https://{HOST}/public/loop.wav", SOURCE)


def links(scene: Scene) -> Iterator[Hostile]:
    elsewhere = ("../outside/canary.wav", "/proc/self/environ", "/proc/self/fd/0", "/etc/passwd", "/dev/zero")
    targets = [scene.outside / "canary.wav", *map(Path, elsewhere)]
    for n, target in enumerate(targets):
        (scene.allowed / f"link-{n}.wav").symlink_to(target)
        (scene.allowed / f"chain-{n}.wav").symlink_to(f"link-{n}.wav")
        yield hostile(f"file://{scene.allowed}/link-{n}.wav", SOURCE)
        yield hostile(f"file://{scene.allowed}/chain-{n}.wav", SOURCE)
    (scene.allowed / "folder").symlink_to(scene.outside, target_is_directory=True)
    yield hostile(f"file://{scene.allowed}/folder/canary.wav", SOURCE)
    (scene.allowed / "self.wav").symlink_to("self.wav")
    yield hostile(f"file://{scene.allowed}/self.wav", SOURCE, Reason.SOURCE_NOT_FOUND)
    os.mkfifo(scene.allowed / "pipe.wav")
    yield hostile(f"file://{scene.allowed}/pipe.wav", Reason.SOURCE_NOT_FOUND)


def outputs(scene: Scene) -> Iterator[Hostile]:
    good, worker = f"file://{scene.allowed}/good.wav", scene.folder / "worker"
    own = f"file://{worker}/transcripts"
    for output in (
        "file:///etc/", f"file://{scene.outside}/", f"file://{scene.allowed}/", f"file://{worker}/spool/inbox/",
        f"file://{worker}/spool/results/", f"file://{worker}/scratch/", f"{own}-others/", "file:///",
        "oci://transcripts@ns/", f"https://{HOST}/public/", f"{own}/.state/", f"{own}/.state/jobs/",
        f"{own}/a/.writing/",
    ):  # fmt: skip
        yield hostile(good, OUTPUT, output=output)
    for output in (
        f"{own}/../../outside/", f"{own}/%2e%2e/outside/", f"{own}/a\x00b/", f"{own}/a%0ab/", "transcripts",
        "http://files.example.com/", "s3://bucket/",
    ):  # fmt: skip
        yield hostile(good, INVALID, output=output)
    for reply_to in ("../../outside/x", "/etc/x", "a/b", "a\\b", "", "x" * 300, "a\nb"):
        yield hostile(good, INVALID, reply_to=reply_to)


FAMILIES = [buckets, traversals, schemes, control_characters, hosts, addresses, rebinding, redirects, links, outputs]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with serving((HOST, OTHER_HOST, *PRIVATE_HOSTS)) as origin:
        scene = Scene(tmp_path, Internet(origin))
        yield scene
        scene.bench.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_hostile_request_is_refused_and_harms_nothing(
    scene: Scene, family: Callable[[Scene], Iterator[Hostile]]
) -> None:
    cases = list(family(scene))
    before = scene.everything()
    for request in scene.good(1):
        assert scene.attend(request)[0] is Ending.COMPLETED
    honest = list(scene.had)
    for n, case in enumerate(cases):
        case.before(scene)
        output = {} if "data" in case.body else {"output": f"{scene.bench.places.output}case-{n}/"}

        ending, reason, message = scene.attend({**output, **case.body})

        assert ending is Ending.DEAD_LETTERED, case.body
        assert reason in case.reasons, (case.body, reason, message)
        assert message
        assert TOKEN not in message
    assert scene.had == honest, "not one byte of theirs"
    assert scene.everything() == before
    assert set(scene.internet.dialler.dialled) == {PUBLIC}
    assert {asked.target.partition("?")[0] for asked in scene.internet.origin.asked} <= {
        name for name in (*scene.internet.origin.objects, *scene.internet.origin.scripts) if name.startswith("/public/")
    }
    assert sorted(path.parent.name for path in (scene.folder / "worker" / "transcripts").rglob("*.json")
                  if ".state" not in path.parts and ".writing" not in path.parts) == ["good-1", "public"]  # fmt: skip
    assert len(list(scene.bench.broker.dead_letters.list())) == len(cases)
    assert not any(TOKEN.encode() in path.read_bytes() for path in scene.bench.result_files())
    scene.internet.names.answers[HOST] = [[PUBLIC]]
    for request in scene.good(2):
        assert scene.attend(request)[0] is Ending.COMPLETED


def test_they_are_hundreds(scene: Scene) -> None:
    requests = [json.dumps(case.body) for family in FAMILIES for case in family(scene)]

    assert len(set(requests)) >= 200
