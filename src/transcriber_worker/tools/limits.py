"""What this machine has, and what a configuration may need of it."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.inference.model_catalogue import CATALOGUE, WEIGHTS
from transcriber_worker.settings import MIB, Settings

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_WORKER_BYTES = 400 * MIB
"""Interpreter and libraries, measured at 330 MiB."""
_WORKING_SET_BYTES = 500 * MIB
"""What one transcription of a small model needs beside the weights; measured."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the container or the computer has."""

    memory_bytes: int
    cores: int

    @classmethod
    def this(cls) -> "Machine":
        """As far as cgroups limit it."""
        limits = [psutil.virtual_memory().total]
        for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                limits.append(int(Path(path).read_text()))
            except (OSError, ValueError):
                continue  # no such limit here
        return cls(min(limits), min(len(os.sched_getaffinity(0)), _cpu_quota()))


def needed_bytes(settings: Settings, jobs: int, processes: int) -> int:
    """Memory the worker may need in all: its own, the model, the media children, windows on their way, and scratch
    where that is memory too."""
    model_bytes = _weights_bytes(settings) + settings.engine.concurrency * _WORKING_SET_BYTES
    window_bytes = int(settings.engine.slab_s * SAMPLE_RATE_HZ * 2)
    windows = jobs * (settings.media.windows_ahead + 1) * window_bytes
    # A source larger than the whole scratch budget is admitted alone.
    largest = max(settings.worker.max_scratch_bytes, settings.storage.max_source_bytes)
    scratch = largest if _is_memory(settings.worker.scratch_dir) else 0
    return _WORKER_BYTES + model_bytes + processes * settings.media.memory_limit_bytes + windows + scratch


def _weights_bytes(settings: Settings) -> int:
    named = CATALOGUE.get(settings.model.name)
    if named is not None:
        return named.size_bytes
    weights = Path(settings.model.name) / WEIGHTS
    return weights.stat().st_size if weights.is_file() else 0


def jobs_in_flight(settings: Settings) -> int:
    """Jobs claimed at once: what the engine works on, and by default two more on their way to it."""
    chosen = settings.worker.max_jobs_in_flight
    return settings.engine.concurrency + 2 if chosen == "auto" else chosen


def media_processes(settings: Settings, machine: Machine) -> int:
    """Media children alive at once: one a job, as far as the memory goes."""
    jobs = jobs_in_flight(settings)
    if settings.media.processes != "auto":
        return min(jobs, settings.media.processes)
    spare = machine.memory_bytes - needed_bytes(settings, jobs, 0)
    return max(1, min(jobs, spare // settings.media.memory_limit_bytes))


def nearest(directory: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    directory = directory.expanduser().resolve()
    while not os.path.lexists(directory):
        directory = directory.parent
    return directory


def _cpu_quota() -> int:
    """Whole cores a container may use at a time, at least one; as many as one likes where there is no such limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, int(quota) // int(period))
    return sys.maxsize


def _is_memory(directory: Path) -> bool:
    """Whether a directory lies on a file system that is memory."""
    directory = nearest(directory)
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    mounts.reverse()  # of several on one directory the last one counts
    return bool(mounts) and max(mounts, key=lambda part: len(part.mountpoint)).fstype in ("tmpfs", "ramfs")
