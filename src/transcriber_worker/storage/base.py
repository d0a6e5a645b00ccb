"""The seam to object stores: a handful of methods in our own words."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transcriber_worker.domain.uri import ObjectUri

LARGEST_READ_BYTES = 64 * 1024 * 1024
"""`read` keeps an object in memory: none of ours is as large as that, whoever else may put objects in their place."""


class ObjectNotFound(Exception):
    """There is no such object, or this worker may not see it."""


class ConditionFailed(Exception):
    """A conditional write or delete met another version than it asked for: nothing was changed."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of one object. Times are Unix seconds by the store's clock, which is the one leases go by."""

    etag: str
    size_bytes: int
    modified_at: float
    observed_at: float
    """The store's time when it answered."""


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """Write only where no object of that name exists."""


@dataclass(frozen=True, slots=True)
class IfMatch:
    """Write or delete only the version with this etag."""

    etag: str


Condition = IfAbsent | IfMatch | None


class ObjectStore(Protocol):
    """Objects by URI. Thread-safe.

    Every method may raise `EnvironmentDown` (the store itself is down), `RetryJob` (this object can't be had now) and
    `RejectJob` (it never can be).
    """

    def head(self, uri: ObjectUri) -> ObjectInfo:
        """What is known of an object without reading it; raises `ObjectNotFound`."""
        ...

    def read(self, uri: ObjectUri) -> tuple[bytes, ObjectInfo]:
        """A small object (records, transcripts) and the version it came from; raises `ObjectNotFound`, and `RejectJob`
        for more than `LARGEST_READ_BYTES`."""
        ...

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        """Stream that version of an object into a new file, verified; raises `ObjectNotFound`, or `ConditionFailed`
        where the object is another version by now. `path` appears only when complete."""
        ...

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        """Store an object; durable when it returns. Raises `ConditionFailed` and then changes nothing; of racing
        writers with one condition exactly one wins."""
        ...

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:
        """Remove an object; one that is not there is no error unless `condition` says otherwise."""
        ...

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        """The objects below a prefix, by name."""
        ...
