"""Hundreds of mixed jobs through one worker: it holds no more memory at the end than at the beginning."""

import shutil
import statistics
import subprocess
from pathlib import Path

import pytest

from tests.slow.resident import MIB, resident_bytes, running
from tests.speech import PROJECT

RECORDINGS = sorted(path for path in (PROJECT / "demo" / "recordings").iterdir() if path.suffix != ".json")
JOBS = 300
COMPARED = 100


def submit_all(inbox: Path) -> None:
    """Drop the recordings in turn, each under a new name."""
    for number in range(JOBS):
        recording = RECORDINGS[number % len(RECORDINGS)]
        shutil.copy(recording, inbox.parent / "waiting")
        (inbox.parent / "waiting").rename(inbox / f"{number:03}-{recording.name}")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(3600)
def test_hundreds_of_jobs_leave_the_memory_as_it_was(tmp_path: Path) -> None:
    by_done: dict[int, list[int]] = {}
    transcripts = tmp_path / "transcripts"
    inbox = tmp_path / "spool" / "inbox"
    inbox.mkdir(parents=True)
    submit_all(inbox)
    with running(tmp_path) as worker:
        while worker.poll() is None:
            done = len(list(transcripts.glob("*.json"))) if transcripts.exists() else 0
            by_done.setdefault(done, []).append(resident_bytes(worker.pid, children=False))
            try:
                worker.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    assert len(list(transcripts.glob("*.json"))) == JOBS
    first = [size for done, sizes in by_done.items() if 0 < done <= COMPARED for size in sizes]
    last = [size for done, sizes in by_done.items() if JOBS - COMPARED <= done < JOBS for size in sizes]
    grown = statistics.mean(last) / statistics.mean(first)
    print(  # noqa: T201 - figures for whoever runs it
        f"first {COMPARED} jobs {statistics.mean(first) / MIB:.0f} MiB, "
        f"last {statistics.mean(last) / MIB:.0f} MiB: {grown:.3f}"
    )
    assert grown <= 1.05
