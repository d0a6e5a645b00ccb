"""A benchmark's findings on disk."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transcriber_worker.cli.findings import keep


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What is longer is cut off, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "found"
    keep(folder, {"report": "first"})
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        keep(folder, {"report": "second" * 1000})
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"report": "first"}
    keep(folder, {"report": "third", "table": "one"})
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"report": "third", "table": "one"}
