"""Files on scratch that a download is still writing. They are only ours: whatever the disk says is this worker's own
trouble, and no job's."""

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from transcriber_worker.domain.errors import EnvironmentDown, PauseReason


@contextmanager
def arriving(path: Path) -> Iterator[FileIO]:
    """A new file that becomes `path` when the block ends well, and is gone when it does not. Raises `EnvironmentDown`
    (`PauseReason.SCRATCH`) for every `OSError`."""
    unfinished = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with FileIO(unfinished, "xb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        full = " (no room)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        message = f"can't write {path}{full}: {error.strerror or error}"
        raise EnvironmentDown(message, PauseReason.SCRATCH) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(file: FileIO, chunk: bytes) -> None:
    """A disk that is nearly full takes a part of it, and says so only to the next write."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
