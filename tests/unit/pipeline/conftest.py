"""A workbench for every test of the pipeline."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workbench import Workbench


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Workbench]]:
    """Workbenches with settings of their own: `make_bench(worker={"max_attempts": 2})`."""
    made: list[Workbench] = []

    def make(**changes: dict[str, Any]) -> Workbench:
        made.append(Workbench(tmp_path, changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    return make_bench()
