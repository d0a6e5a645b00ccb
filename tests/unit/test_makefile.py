"""What `make` would run."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def make() -> str:
    found = shutil.which("make")
    if found is None:
        pytest.skip("make is not installed")
    return found


@pytest.mark.parametrize(("given", "dry"), [("DRY_RUN=1", True), ("DRY_RUN=0", False), ("DRY_RUN=", False)])
def test_a_dry_run_is_one_only_where_it_was_asked_for(make: str, given: str, dry: bool) -> None:
    would = subprocess.run([make, "-n", "bench-gpu", given], cwd=PROJECT, capture_output=True, text=True, check=True)
    (line,) = [line for line in would.stdout.splitlines() if "transcriber-worker bench-gpu" in line]
    assert ("--dry-run" in line) is dry
