"""What this machine has, and what a configuration may need of it."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.plan import LEAST_AHEAD, EnginePlan, plan
from transcriber_worker.inference.cuda_memory import cuda_memory_bytes
from transcriber_worker.inference.model_catalogue import CATALOGUE, WEIGHTS
from transcriber_worker.pipeline.lookahead import Lookahead
from transcriber_worker.settings import MIB, EncoderKind, EngineKind, EngineSettings, Settings

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_GPU_NODES = ("/dev/nvidiactl", "/dev/dxg")
"""One of them is in every container that was given a GPU."""
_RESERVED = 1
"""The reader kept for short files, beside those for any file."""
_NOT_READING = 2
"""Jobs in flight beyond the readers that long files may take: a long file more, and a clip behind it that is still
claimed and read at once."""
_WORKER_BYTES = 400 * MIB
"""Interpreter and libraries, measured at 330 MiB."""
_WORKING_SET_BYTES = 500 * MIB
"""What one transcription, or a batch of up to `_SMALL_BATCH`, of a small model needs beside the weights; measured."""
_SMALL_BATCH = 4
_ROW_BYTES = 80 * MIB
"""What each further row of a batch takes, of a small model on the CPU; measured."""
_CUDA_BYTES = 1024 * MIB
"""What CUDA and its libraries take of the machine's memory, and states on their way through it: an estimate."""
_TORCH_BYTES = 500 * MIB
"""torch itself, measured: 470 MiB once imported."""
_TORCH_ROW_BYTES = 100 * MIB
"""What each row of the one batch that torch encodes takes, with a large model in float32: 93 MB measured."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the container or the computer has."""

    memory_bytes: int
    cores: int
    gpu: bool = False
    gpu_bytes: int | None = None
    """Memory of the GPU, where it can be told."""

    @classmethod
    def this(cls) -> "Machine":
        """As far as cgroups limit it."""
        limits = [psutil.virtual_memory().total]
        for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                limits.append(int(Path(path).read_text()))
            except (OSError, ValueError):
                continue  # no such limit here
        cores = min(len(os.sched_getaffinity(0)), _cpu_quota())
        gpu = any(map(os.path.exists, _GPU_NODES))
        return cls(min(limits), cores, gpu, cuda_memory_bytes() if gpu else None)


def engine_plan(settings: Settings, machine: Machine) -> EnginePlan:
    """How much the engine will work on at once on this machine."""
    cuda = on_gpu(settings, machine)
    return plan(settings.engine, cuda=cuda, cores=machine.cores, gpu_bytes=machine.gpu_bytes)


def lookahead(settings: Settings, machine: Machine) -> Lookahead:
    """How many windows may wait for the engine."""
    engine, chosen = engine_plan(settings, machine), settings.media.windows_ahead
    most = engine.windows_ahead if chosen == "auto" else chosen
    if settings.engine.kind is EngineKind.SEQUENTIAL:
        return Lookahead(most, most, 0)
    # With fewer, a file whose first window does not tell its language would wait for ever for those that do.
    return Lookahead(LEAST_AHEAD, most, max(most, engine.windows_shared))


def needed_bytes(settings: Settings, machine: Machine, jobs: int, processes: int) -> int:
    """Memory the worker may need in all: its own, the model, the media children, windows on their way, and scratch
    where that is memory too."""
    engine = engine_plan(settings, machine)
    model_bytes = _torch_bytes(settings, machine, engine)
    if on_gpu(settings, machine):
        model_bytes += _CUDA_BYTES
    else:
        model_bytes += _weights_bytes(settings) + engine.workers * _working_set_bytes(settings.engine, engine)
    window_bytes = int(engine.span_s * SAMPLE_RATE_HZ * 2)
    windows = lookahead(settings, machine).windows(jobs) * window_bytes
    # A source larger than the whole scratch budget is admitted alone.
    largest = max(settings.worker.max_scratch_bytes, settings.storage.max_source_bytes)
    scratch = largest if _is_memory(settings.worker.scratch_dir) else 0
    return _WORKER_BYTES + model_bytes + (processes + _RESERVED) * settings.media.memory_limit_bytes + windows + scratch


def _working_set_bytes(settings: EngineSettings, engine: EnginePlan) -> int:
    """What one model worker needs beside the weights."""
    if settings.batch_memory_bytes != "auto":
        return settings.batch_memory_bytes // engine.workers
    return _WORKING_SET_BYTES + max(0, engine.batch - _SMALL_BATCH) * _ROW_BYTES


def on_gpu(settings: Settings, machine: Machine) -> bool:
    """Whether the model will run there."""
    device = settings.model.device
    return machine.gpu if device == "auto" else device == "cuda"


def _weights_bytes(settings: Settings) -> int:
    named = CATALOGUE.get(settings.model.name)
    if named is not None:
        return named.size_bytes
    weights = Path(settings.model.name) / WEIGHTS
    return weights.stat().st_size if weights.is_file() else 0


def _torch_bytes(settings: Settings, machine: Machine, engine: EnginePlan) -> int:
    """What torch's encoder takes of the machine's memory: on a GPU not much but torch itself."""
    kind = settings.engine.encoder
    if settings.engine.kind is EngineKind.SEQUENTIAL or kind is EncoderKind.CTRANSLATE2:
        return 0
    if on_gpu(settings, machine):
        return _TORCH_BYTES
    if kind is EncoderKind.AUTO:  # which takes it on a GPU only
        return 0
    return _TORCH_BYTES + 4 * _encoder_parameters(settings) + engine.batch * _TORCH_ROW_BYTES


def _encoder_parameters(settings: Settings) -> int:
    named = CATALOGUE.get(settings.model.name)
    if named is not None:
        return named.encoder_parameters
    with suppress(OSError, ValueError):
        return Dimensions.read(Path(settings.model.name) / WEIGHTS).encoder_parameters
    return 0  # no model: told by whoever looks for it


def jobs_in_flight(settings: Settings, machine: Machine) -> int:
    """Jobs claimed at once: what keeps the engine busy."""
    chosen = settings.worker.max_jobs_in_flight
    return engine_plan(settings, machine).jobs if chosen == "auto" else chosen


def media_processes(settings: Settings, machine: Machine) -> int:
    """Media children for files of any length: nearly one a job, as far as the memory goes."""
    jobs = jobs_in_flight(settings, machine)
    if settings.media.processes != "auto":
        return min(jobs, settings.media.processes)
    spare = machine.memory_bytes - needed_bytes(settings, machine, jobs, 0)
    return max(1, min(jobs - _NOT_READING, spare // settings.media.memory_limit_bytes))


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
