"""The state of Object Storage: buckets, objects, uploads under way, pre-authenticated requests. No HTTP."""

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.oci_emulator.journal import Change, Journal

SERVICE = "objects"
NAMESPACE = "emu"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version. `headers`: what comes back as it was given (content-type, opc-meta-*, storage-tier ...). `md5`:
    base64, None for objects made of parts, which have `multipart_md5`. Times are Unix seconds."""

    name: str
    body: bytes
    etag: str
    headers: Mapping[str, str]
    created_at: float
    modified_at: float
    md5: str | None
    multipart_md5: str | None = None

    @property
    def storage_tier(self) -> str:
        return self.headers.get("storage-tier", "Standard")


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    body: bytes
    etag: str
    md5: str


@dataclass(slots=True)
class Upload:
    id: str
    name: str
    headers: Mapping[str, str]
    created_at: float
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Par:
    """A pre-authenticated request. `object_name`: for the Any... types a prefix, or None for the whole bucket."""

    id: str
    token: str
    name: str
    access: str
    object_name: str | None
    listing: bool
    created_at: float
    expires_at: float


@dataclass(slots=True)
class Bucket:
    """`events`: whether changes of its objects are told to listeners."""

    name: str
    etag: str
    created_at: float
    events: bool
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    pars: dict[str, Par] = field(default_factory=dict)


class ObjectsModel:
    """Everything changes by `change`, which records it first. Hold `lock` across a check and the change it allows."""

    def __init__(self, journal: Journal) -> None:
        self.lock = threading.RLock()
        self.buckets: dict[str, Bucket] = {}
        self._journal = journal
        journal.register(SERVICE, self._apply)

    def change(self, kind: str, blob: bytes = b"", **values: Any) -> None:
        """One of the methods below by name, with its arguments."""
        with self.lock:
            self._journal.commit(SERVICE, {"kind": kind, **values}, blob)

    def _apply(self, change: Change, blob: bytes) -> None:
        values = dict(change)
        getattr(self, f"_{values.pop('kind')}")(blob=blob, **values)

    def _make_bucket(self, *, blob: bytes, bucket: str, etag: str, at: float, events: bool) -> None:
        self.buckets[bucket] = Bucket(bucket, etag, at, events)

    def _remove_bucket(self, *, blob: bytes, bucket: str) -> None:
        del self.buckets[bucket]

    def _put(
        self, *, blob: bytes, bucket: str, name: str, etag: str, headers: Mapping[str, str], at: float,
        parts_md5: str | None = None,
    ) -> None:  # fmt: skip
        """`parts_md5`: of an object made of parts."""
        objects = self.buckets[bucket].objects
        before = objects.get(name)
        md5 = base64_md5(blob) if parts_md5 is None else None
        created_at = before.created_at if before else at
        objects[name] = StoredObject(name, blob, etag, headers, created_at, at, md5, parts_md5)

    def _remove(self, *, blob: bytes, bucket: str, name: str) -> None:
        del self.buckets[bucket].objects[name]

    def _rename(self, *, blob: bytes, bucket: str, name: str, new_name: str, etag: str, at: float) -> None:
        objects = self.buckets[bucket].objects
        was = objects.pop(name)
        objects[new_name] = StoredObject(
            new_name, was.body, etag, was.headers, was.created_at, at, was.md5, was.multipart_md5
        )

    def _begin_upload(
        self, *, blob: bytes, bucket: str, upload: str, name: str, headers: Mapping[str, str], at: float
    ) -> None:
        self.buckets[bucket].uploads[upload] = Upload(upload, name, headers, at)

    def _put_part(self, *, blob: bytes, bucket: str, upload: str, number: int, etag: str) -> None:
        self.buckets[bucket].uploads[upload].parts[number] = Part(number, blob, etag, base64_md5(blob))

    def _commit_upload(
        self, *, blob: bytes, bucket: str, upload: str, numbers: list[int], etag: str, at: float
    ) -> None:
        begun = self.buckets[bucket].uploads.pop(upload)
        parts = [begun.parts[number] for number in numbers]
        whole = hashlib.md5(b"".join(base64.b64decode(part.md5) for part in parts), usedforsecurity=False).digest()
        self._put(
            blob=b"".join(part.body for part in parts), bucket=bucket, name=begun.name, etag=etag,
            headers=begun.headers, at=at, parts_md5=f"{base64.b64encode(whole).decode()}-{len(parts)}",
        )  # fmt: skip

    def _abort_upload(self, *, blob: bytes, bucket: str, upload: str) -> None:
        del self.buckets[bucket].uploads[upload]

    def _make_par(self, *, blob: bytes, bucket: str, **values: Any) -> None:
        par = Par(**values)
        self.buckets[bucket].pars[par.id] = par

    def _remove_par(self, *, blob: bytes, bucket: str, par: str) -> None:
        del self.buckets[bucket].pars[par]

    def _clear(self, *, blob: bytes) -> None:
        self.buckets.clear()


def base64_md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
