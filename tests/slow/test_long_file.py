"""Three hours of speech through a real worker: memory stays bounded whatever the length."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from tests.builders import settings_fields

PROJECT = Path(__file__).parents[2]
RECORDING = PROJECT / "demo" / "recordings" / "good-bread.mp3"
HOURS = 3
MIB = 1024 * 1024
LOADED_MODEL_BYTES = 700 * MIB
"""Resident memory of an idle worker with `base` in int8, its warm media child included; asserted below."""


def long_recording(path: Path) -> Path:
    """Three hours of mp3: frames stand for themselves, so repeated files are one long file."""
    body = RECORDING.read_bytes()
    seconds = 23.56
    path.write_bytes(body * round(HOURS * 3600 / seconds))
    return path


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that leaves when it has nothing left to do."""
    fields = settings_fields(
        folder,
        model={"name": "base", "beam_size": 1, "cache_dir": str(PROJECT / ".models")},
        worker={"exit_when_idle_s": 10.0},
    )
    config = folder / "worker.yaml"
    config.write_text(yaml.safe_dump(fields))
    command = [sys.executable, "-m", "transcriber_worker", "run", "--config", str(config), "--exit-when-idle"]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, stderr=log, env=dict(os.environ))
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()


def resident_bytes(pid: int) -> int:
    """Of the worker and all its children; shared pages count once for each. 0 once the worker has ended."""
    try:
        worker = psutil.Process(pid)
        processes = [worker, *worker.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_three_hours_take_no_more_memory_than_the_settings_say(tmp_path: Path) -> None:
    audio = long_recording(tmp_path / "long.mp3")
    with running(tmp_path) as worker:
        idle = peak = 0
        inbox = tmp_path / "spool" / "inbox"
        while worker.poll() is None:
            if "worker.ready" in (tmp_path / "worker.log").read_text() and audio.exists():
                idle = resident_bytes(worker.pid)
                audio.rename(inbox / "long.mp3")
            peak = max(peak, resident_bytes(worker.pid))
            try:
                worker.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    print(f"idle {idle / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB")  # noqa: T201 - figures for whoever runs it
    assert (tmp_path / "transcripts" / "long.mp3.json").exists()
    assert idle < LOADED_MODEL_BYTES
    assert peak < idle + 1500 * MIB
