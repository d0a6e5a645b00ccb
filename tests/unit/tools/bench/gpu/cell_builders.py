"""Cells and what became of them."""

from typing import Any

from transcriber_worker.tools.bench.gpu.cells import Cell, Encoder, Outcome, Repeat, Setup
from transcriber_worker.tools.bench.gpu_watch import GpuUse

TURBO = Setup("random-turbo", "ctranslate2", 5)
PHASES = {"features": 0.1, "encode": 0.2, "language": 0.0, "decode": 0.5, "align": 0.1}
ON_CUDA = {"device": "cuda", "compute_type": "float16", "encoder": "ctranslate2"}


def a_repeat(wall_s: float = 1.0, *, windows: int = 10, tokens: int = 900) -> Repeat:
    return Repeat(wall_s, windows, 30.0 * windows, tokens, wall_s / 2, PHASES)


def told(*repeats: Repeat) -> dict[str, Any]:
    """As a process answers."""
    keys = ("wall_s", "windows", "audio_s", "tokens", "batch_s", "phases_s")
    return {"repeats": [{key: getattr(one, key) for key in keys} for one in repeats]}


def an_outcome(
    batch: int = 8,
    streams: int = 1,
    *repeats: Repeat,
    encoder: Encoder = "ctranslate2",
    gpu: GpuUse | None = None,
    out_of_memory: str | None = None,
    failed: str | None = None,
) -> Outcome:
    cell = Cell(Setup("random-turbo", encoder, 5), batch, streams)
    facts = {**ON_CUDA, "encoder": encoder}
    if out_of_memory or failed:
        return Outcome(cell, facts, gpu=gpu, out_of_memory=out_of_memory, failed=failed)
    return Outcome(cell, facts, repeats or (a_repeat(),), gpu)
