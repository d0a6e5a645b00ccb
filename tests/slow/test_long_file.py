"""Three hours of speech through a real worker: memory stays bounded whatever the length."""

import subprocess
from pathlib import Path

import pytest

from tests.slow.resident import MIB, resident_bytes, running
from tests.speech import PROJECT

RECORDING = PROJECT / "demo" / "recordings" / "good-bread.mp3"
HOURS = 3
LOADED_MODEL_BYTES = 700 * MIB
"""Resident memory of an idle worker with `base` in int8, its warm media child included; asserted below."""


def long_recording(path: Path) -> Path:
    """Three hours of mp3: frames stand for themselves, so repeated files are one long file."""
    body = RECORDING.read_bytes()
    seconds = 23.56
    path.write_bytes(body * round(HOURS * 3600 / seconds))
    return path


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
