"""How a GPU's memory is shared out: how many streams, how large batches, which compute type. Pure."""

from dataclasses import dataclass
from itertools import product

from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.plan import CUDA_WORKERS
from transcriber_worker.inference.batched.rows import CANDIDATES, FULL_FRAMES
from transcriber_worker.settings import MIB, EncoderKind, EngineSettings

_SHARE = 0.92
"""Of the GPU's memory; the rest is lost between allocations."""
_LIBRARIES_BYTES = 1024 * MIB
"""CUDA's context, and the workspaces of cuBLAS, cuDNN and cuFFT."""
_TORCH_SLACK = 1.5
"""torch may take so much more than is expected: blocks are rounded up, and states stay until they are decoded."""
_WORKSPACE_BYTES = 256 * MIB
"""What torch's libraries ask it for."""
_LEAST_ROWS = 4
"""With less than this in a batch, a second stream costs more than it brings."""
_COMPUTE_TYPES = ("float16", "int8_float16")
"""What `auto` may come to on CUDA. Quantised it is hardly faster and hears a little worse: where memory is short."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Memory that a model takes on a GPU."""

    weights_bytes: int
    """CTranslate2's, of encoder and decoder: it keeps both, whoever encodes."""
    torch_bytes: int
    """The encoder's weights once more; 0: CTranslate2 encodes."""
    encoding_bytes: int
    """A row while it is encoded."""
    decoding_bytes: int
    """A row while it is decoded: keys and values of its states, of all tokens of every beam's text, logits."""
    sampling_bytes: int
    """The same at a temperature."""

    @classmethod
    def of(cls, sizes: Dimensions, compute_type: str, beams: int, *, torch: bool, frames: int = FULL_FRAMES) -> "Costs":
        """`torch`: whether it encodes; `frames`: what rows are padded to."""
        value_bytes = sizes.value_bytes(compute_type)
        encoding = sizes.fused_encoding_bytes if torch else sizes.encoding_bytes
        return cls(
            weights_bytes=sizes.weights_bytes(compute_type),
            torch_bytes=sizes.encoder_parameters * value_bytes if torch else 0,
            encoding_bytes=encoding(frames, value_bytes),
            decoding_bytes=sizes.decoding_bytes(frames, beams, value_bytes),
            sampling_bytes=sizes.decoding_bytes(frames, CANDIDATES, value_bytes, sampled=True),
        )

    @property
    def fixed_bytes(self) -> int:
        """Whatever the batches."""
        return self.weights_bytes + self.torch_bytes

    def row_bytes(self, streams: int) -> int:
        """What one more row in every stream's batch takes, by stream. torch encodes one batch at a time, CTranslate2
        one on every stream, before it decodes it there."""
        if self.torch_bytes:
            return self.decoding_bytes + self.encoding_bytes // streams
        return max(self.decoding_bytes, self.encoding_bytes)

    def sampled_rows(self, rows: int) -> int:
        """How many rows to sample at once where there is room to decode so many with beams."""
        return max(1, min(rows, rows * self.decoding_bytes // self.sampling_bytes))


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """What the settings come to with a model on a GPU."""

    compute_type: str
    streams: int
    rows: int
    """Most in one batch."""
    costs: Costs
    torch_limit_bytes: int | None
    """Most that torch may allocate: what it is expected to take, and some more. The rest is CTranslate2's. None: it
    does not encode."""


def batch_bytes(gpu_bytes: int, fixed_bytes: int, streams: int) -> int:
    """What one stream's batch may take. `fixed_bytes`: taken whatever the batches."""
    return max(0, int(gpu_bytes * _SHARE) - _LIBRARIES_BYTES - fixed_bytes) // streams


def plan_gpu(
    engine: EngineSettings,
    sizes: Dimensions,
    *,
    compute_type: str,
    beams: int,
    torch: bool,
    rows: int,
    gpu_bytes: int | None,
) -> GpuPlan:
    """What `auto` means here. `rows`: most in a batch that are of use; `torch`: whether it is there to encode;
    `gpu_bytes`: the GPU's memory, None where nobody can tell. What is set is taken, whether it fits or not."""
    types = _COMPUTE_TYPES if compute_type == "auto" else (compute_type,)
    encoders = (True, False) if torch and engine.encoder is EncoderKind.AUTO else (torch,)
    streams = (CUDA_WORKERS, 1) if engine.cuda_streams == "auto" else (engine.cuda_streams,)
    tried: list[_Option] = []
    for chosen, encodes, count in product(types, encoders, streams):
        costs = Costs.of(sizes, chosen, beams, torch=encodes)
        if gpu_bytes is None:
            return _plan(chosen, count, rows, costs)
        room = batch_bytes(gpu_bytes, costs.fixed_bytes, count)
        fit = room // costs.row_bytes(count)
        most = max(1, min(rows, fit)) if engine.max_batch_windows == "auto" else rows
        option = _Option(_plan(chosen, count, most, costs), fit)
        if fit >= min(rows, _LEAST_ROWS) and room >= costs.sampling_bytes:
            return option.plan
        tried.append(option)
    return max(tried, key=_Option.rank).plan


@dataclass(frozen=True, slots=True)
class _Option:
    plan: GpuPlan
    fit: int
    """Rows of a batch that there is room for."""

    def rank(self) -> tuple[int, int]:
        """Where nothing fits well: by the largest batches, then by the least memory for batches of one row."""
        costs, streams = self.plan.costs, self.plan.streams
        return self.fit, -(costs.fixed_bytes + streams * costs.row_bytes(streams))


def _plan(compute_type: str, streams: int, rows: int, costs: Costs) -> GpuPlan:
    limit = costs.torch_bytes + int(_TORCH_SLACK * rows * costs.encoding_bytes) + _WORKSPACE_BYTES
    return GpuPlan(compute_type, streams, rows, costs, limit if costs.torch_bytes else None)
