"""The programs in scripts/: the docs call them by their paths."""

import os
from pathlib import Path

import pytest

SCRIPTS = sorted(path for path in (Path(__file__).parents[2] / "scripts").iterdir() if path.is_file())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_begins_with_a_shebang_can_be_executed(script: Path) -> None:
    with script.open("rb") as file:
        assert (file.read(2) == b"#!") is os.access(script, os.X_OK)
