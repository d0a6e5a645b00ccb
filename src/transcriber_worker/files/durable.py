"""Files that are either there as a whole, also after a crash or a power cut, or not there at all."""

import os
from pathlib import Path


def make_directories(path: Path) -> None:
    """Create `path` and what is missing above it, durably."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: an fsync of a file does not cover its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, body: bytes, modified_ns: int | None = None) -> None:
    """Write a new file and its content to the disk; its name is not durable yet. `modified_ns`: Unix time."""
    with path.open("xb") as file:
        file.write(body)
        file.flush()
        if modified_ns is not None:
            os.utime(file.fileno(), ns=(modified_ns, modified_ns))
        os.fsync(file.fileno())
