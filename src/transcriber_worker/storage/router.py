"""One store for every URI: each scheme has its own adapter."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import Condition, ObjectInfo, ObjectStore


class StoreRouter:
    """An `ObjectStore` that hands each call to the store of the URI's scheme (`stores`: scheme -> store)."""

    def __init__(self, stores: Mapping[str, ObjectStore]) -> None:
        self._stores = dict(stores)

    def head(self, uri: ObjectUri) -> ObjectInfo:
        return self._store(uri).head(uri)

    def read(self, uri: ObjectUri) -> tuple[bytes, ObjectInfo]:
        return self._store(uri).read(uri)

    def download(self, uri: ObjectUri, path: Path, *, etag: str) -> ObjectInfo:
        return self._store(uri).download(uri, path, etag=etag)

    def write(self, uri: ObjectUri, body: bytes, content_type: str, condition: Condition = None) -> ObjectInfo:
        return self._store(uri).write(uri, body, content_type, condition)

    def delete(self, uri: ObjectUri, condition: Condition = None) -> None:
        self._store(uri).delete(uri, condition)

    def list(self, prefix: ObjectUri) -> Iterator[ObjectUri]:
        return self._store(prefix).list(prefix)

    def _store(self, uri: ObjectUri) -> ObjectStore:
        try:
            return self._stores[uri.scheme]
        except KeyError:
            known = ", ".join(f"{scheme}://" for scheme in sorted(self._stores)) or "none"
            message = f"this worker has no store for {uri.scheme}:// URIs (it has: {known})"
            raise RejectJob(Reason.SOURCE_NOT_ALLOWED, message) from None
