"""Putting a local file where every worker may read it."""

from pathlib import Path

from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ObjectStore


class Uploader:
    """Uploads below a prefix. The file passes through memory as a whole: for a command line, not for a worker."""

    def __init__(self, store: ObjectStore, prefix: ObjectUri) -> None:
        self._store = store
        self._prefix = prefix

    def __call__(self, path: Path, name: str) -> ObjectUri:
        """Upload `path` as `name`, replacing one of that name. Raises `InvalidUri` for a name with dot segments."""
        uri = self._prefix.child(name)
        self._store.write(uri, path.read_bytes(), "application/octet-stream")
        return uri
