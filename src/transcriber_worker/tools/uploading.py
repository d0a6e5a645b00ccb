"""Putting a local file where every worker may read it."""

from pathlib import Path

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri, printable
from transcriber_worker.storage.base import ObjectStore


class Uploader:
    """Uploads below a prefix. The file passes through memory as a whole: for a command line, not for a worker."""

    def __init__(self, store: ObjectStore, prefix: ObjectUri) -> None:
        self._store = store
        self._prefix = prefix

    def __call__(self, path: Path, name: str) -> ObjectUri:
        """Upload `path` as `name`, replacing one of that name. Raises `RejectJob` for a file that can't be read, and
        `InvalidUri` for a name with dot segments."""
        uri = self._prefix.child(printable(name))
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RejectJob(Reason.SOURCE_NOT_FOUND, f"it can't be read: {error}") from None
        self._store.write(uri, content, "application/octet-stream")
        return uri
