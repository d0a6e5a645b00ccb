"""The tools' tests work on a whole spool with its stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    made = Workbench(tmp_path)
    yield made
    made.close()
