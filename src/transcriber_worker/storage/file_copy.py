"""Copying a file's content as cheaply as the file system allows."""

import errno
import os
import shutil
from io import FileIO
from pathlib import Path

CHUNK_BYTES = 64 * 1024 * 1024
_NOT_POSSIBLE_HERE = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


def copy_content(source: FileIO, target: Path) -> None:
    """Copy an open file, from its start, into the new file `target`: shared blocks where the file system has them,
    else inside the kernel, else through this process."""
    with target.open("xb", buffering=0) as output:
        try:
            while os.copy_file_range(source.fileno(), output.fileno(), CHUNK_BYTES):
                pass
        except OSError as error:
            if error.errno not in _NOT_POSSIBLE_HERE:
                raise
        # Some file systems claim to be at the end when they are not: whatever is left comes this way.
        shutil.copyfileobj(source, output, 1024 * 1024)
