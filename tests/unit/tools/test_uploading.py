"""Local files that go to a store for `submit`."""

from pathlib import Path

import pytest

from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.directory import DirectoryStore
from transcriber_worker.tools.uploading import Uploader


@pytest.fixture
def uploads(tmp_path: Path) -> ObjectUri:
    return ObjectUri.from_path(tmp_path / "uploads", prefix=True)


@pytest.fixture
def upload(uploads: ObjectUri) -> Uploader:
    return Uploader(DirectoryStore(SystemClock(), 1.0, [uploads]), uploads)


def test_a_name_that_no_uri_can_carry_is_spelled_out(upload: Uploader, uploads: ObjectUri, tmp_path: Path) -> None:
    """As in a spool: one odd name must not end a whole backlog."""
    file = tmp_path / "a.wav"
    file.write_bytes(b"audio")
    uri = upload(file, "night/new\nline-\udce9.wav")
    assert uri == uploads.child("night/new%0Aline-%E9.wav")
    assert uri.path.read_bytes() == b"audio"


def test_a_file_that_cant_be_read_is_refused(upload: Uploader) -> None:
    with pytest.raises(RejectJob) as refused:
        upload(Path("/proc/self/mem"), "a.wav")
    assert refused.value.reason is Reason.SOURCE_NOT_FOUND
