"""Settings as `check-config` finds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.builders import make_settings
from transcriber_worker.settings import MIB
from transcriber_worker.tools.check_config import problems
from transcriber_worker.tools.limits import Machine
from transcriber_worker.tools.problem import Problem

LARGE = Machine(memory_bytes=64 * 1024 * MIB, cores=8)


def found(folder: Path, machine: Machine = LARGE, **sections: Mapping[str, Any]) -> dict[str, Problem]:
    storage = {"max_source_bytes": MIB, **sections.pop("storage", {})}
    settings = make_settings(folder, storage=storage, **sections)
    return {problem.path: problem for problem in problems(settings, machine)}
