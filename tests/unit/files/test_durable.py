"""What is written is there as a whole, as old as it should be, or not there."""

import os
from pathlib import Path

import pytest

from transcriber_worker.files.durable import make_directories, write_synced


def test_a_file_is_as_old_as_it_was_said_to_be(tmp_path: Path) -> None:
    """A store of letters tells the oldest first by it."""
    write_synced(tmp_path / "letter", b"body", modified_ns=1_600_000_000_123_456_789)

    assert (tmp_path / "letter").read_bytes() == b"body"
    assert (tmp_path / "letter").stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write_synced(tmp_path / "letter", b"mine")

    assert (tmp_path / "letter").read_bytes() == b"theirs"


def test_each_directory_is_made_durable_in_the_one_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An fsync of a directory covers the names in it, not its own."""
    synced: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)

    make_directories(tmp_path / "a" / "b")

    assert synced == [tmp_path, tmp_path / "a"]
