"""Where a benchmark's findings go."""

from collections.abc import Mapping
from pathlib import Path


def keep(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, each as a whole or not at all: one that is replaced when the disk is full must not be lost. Raises
    `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        unfinished = folder / f".{name}.part"
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(folder / name)
        finally:
            unfinished.unlink(missing_ok=True)


def trouble(error: OSError, folder: Path) -> str:
    """What could not be read or written, and why. `folder`: is named where the error names nothing."""
    return f"{error.filename or folder}: {error.strerror or error}"
