"""Files that are no records."""

from pathlib import Path

import pytest

from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage import directory
from transcriber_worker.storage.directory import DirectoryStore


def test_what_is_too_large_for_a_record_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may put files where transcripts go could end every worker that looks there."""
    monkeypatch.setattr(directory, "LARGEST_READ_BYTES", 1000)
    store = DirectoryStore(ManualClock(), 1.0, [ObjectUri.from_path(tmp_path, prefix=True)])
    file = tmp_path / "call.wav.json"
    file.write_bytes(bytes(1000))
    assert len(store.read(ObjectUri.from_path(file))[0]) == 1000
    file.write_bytes(bytes(1001))

    with pytest.raises(RejectJob, match="1001 bytes"):
        store.read(ObjectUri.from_path(file))
