"""Rigs, closed when the test is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.rig import Attend, MakeRig, Rig, settle
from tests.workbench import Workbench


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    benches: list[Workbench] = []

    def make(script: Attend = settle, slots: int = 2, **worker: Any) -> Rig:
        benches.append(Workbench(tmp_path, {"worker": worker}))
        return Rig(benches[-1], script, slots)

    yield make
    for bench in benches:
        bench.close()
