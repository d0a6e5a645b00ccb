"""A real worker as a process, and how much memory it holds."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.builders import settings_fields
from tests.speech import MODELS

MIB = 1024 * 1024


@contextmanager
def running(folder: Path, **sections: dict[str, Any]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker on the `base` model that leaves when it has nothing left to do; its log is `worker.log`."""
    worker_fields = {"exit_when_idle_s": 10.0, **sections.pop("worker", {})}
    model = {"name": "base", "beam_size": 1, "cache_dir": str(MODELS)}
    fields = settings_fields(folder, model=model, worker=worker_fields, **sections)
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


def resident_bytes(pid: int, *, children: bool = True) -> int:
    """Of the worker and all its children; shared pages count once for each. 0 once the worker has ended."""
    try:
        worker = psutil.Process(pid)
        processes = [worker, *(worker.children(recursive=True) if children else ())]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
