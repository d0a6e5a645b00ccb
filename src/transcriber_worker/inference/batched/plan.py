"""What the engine's settings come to on a machine. Pure."""

import math
from dataclasses import dataclass
from typing import Literal

from transcriber_worker.settings import EngineKind, EngineSettings

CUDA_WORKERS = 2
"""While one decodes, the other encodes; more than that only share the same processors."""
CUDA_BATCH = 16
LARGE_GPU_BATCH = 64
"""A GPU this large is so fast that smaller batches are done before the next kernels are launched. An estimate: not
measured yet."""
LARGE_GPU_BYTES = 40_000_000_000
CPU_WORKERS = 4
CPU_BATCH = 4
"""On the CPU a larger batch is hardly faster and holds up the next one longer."""
BATCHES_IN_FLIGHT = 3
LEAST_AHEAD = 4
"""A window may wait for the next three of its file, until the file's language is known."""
SPAN_FACTOR = 4
"""Long pauses are not heard, so a window may reach over more audio than it has speech."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """How much an engine works on at once."""

    workers: int
    """Batches or files worked on at the same time, each on a model worker of its own."""
    batch: int
    """Most windows in one of them."""
    windows_ahead: int
    """Most windows of one file that may wait for it."""
    windows_shared: int
    """Windows of all files together that may wait beyond the least of each: see `Lookahead`."""
    jobs: int
    """Files to have in flight."""
    speech_s: float
    """Most speech in a window."""
    span_s: float
    """Most audio in a window, pauses counted."""


def plan(engine: EngineSettings, *, cuda: bool, cores: int, gpu_bytes: int | None = None) -> EnginePlan:
    """What `auto` means here; `cores`: processors this worker may use; `gpu_bytes`: memory of the GPU, as far as it is
    known. On CUDA it is what is of use, which may be less once the model's size is known: see `gpu_plan`."""
    if engine.kind is EngineKind.SEQUENTIAL:
        files = engine.concurrency
        return EnginePlan(
            workers=files,
            batch=1,
            windows_ahead=2,
            windows_shared=0,
            jobs=files + 2,
            speech_s=engine.slab_s,
            span_s=engine.slab_s,
        )
    if cuda:
        workers = _chosen(engine.cuda_streams, CUDA_WORKERS)
        large = gpu_bytes is not None and gpu_bytes >= LARGE_GPU_BYTES
        batch = _chosen(engine.max_batch_windows, LARGE_GPU_BATCH if large else CUDA_BATCH)
    else:
        workers = _chosen(engine.workers, max(1, min(cores, CPU_WORKERS)))
        batch = _chosen(engine.max_batch_windows, CPU_BATCH)
    return EnginePlan(
        workers=workers,
        batch=batch,
        windows_ahead=max(LEAST_AHEAD, math.ceil(1.5 * batch)),
        windows_shared=BATCHES_IN_FLIGHT * batch,
        jobs=max(BATCHES_IN_FLIGHT * batch, workers + 2),
        speech_s=engine.window_s,
        span_s=SPAN_FACTOR * engine.window_s,
    )


def _chosen(setting: int | Literal["auto"], auto: int) -> int:
    return auto if setting == "auto" else setting
