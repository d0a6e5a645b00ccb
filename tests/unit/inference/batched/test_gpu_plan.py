"""How a GPU's memory is shared out. The sizes are those of the published models."""

from dataclasses import dataclass
from typing import Any

import pytest

from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.gpu_plan import Costs, GpuPlan, batch_bytes, plan_gpu
from transcriber_worker.settings import EngineSettings

GB = 10**9
TURBO = Dimensions(1280, decoder_layers=4, vocabulary=51866, parameters=809_000_000, encoder_parameters=637_000_000)
LARGE_V3 = Dimensions(
    1280, decoder_layers=32, vocabulary=51866, parameters=1_543_000_000, encoder_parameters=637_000_000
)
A10 = 24 * GB
H200 = 141 * GB


def planned(
    sizes: Dimensions,
    gpu_bytes: int | None,
    *,
    rows: int = 16,
    compute_type: str = "auto",
    torch: bool = True,
    beams: int = 5,
    **settings: Any,
) -> GpuPlan:
    engine = EngineSettings.model_validate(settings)
    return plan_gpu(engine, sizes, compute_type=compute_type, beams=beams, torch=torch, rows=rows, gpu_bytes=gpu_bytes)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model from elsewhere, in bytes of float16: from its file, its shape, measurements."""

    weights: int
    across: int
    """Keys and values of a row's states: two for each layer, 1500 x 1280."""
    text: int
    """Keys and values of the 448 tokens of one beam."""


ENCODER = 1_274_000_000
STATES = 1500 * 1280 * 2
"""A row, encoded."""
ENCODED_BY_CTRANSLATE2 = 159_000_000
"""A row, measured on a GPU by others: 157 to 161 MB."""
ENCODED_BY_TORCH = 47_000_000
"""Half of the 93 MB measured on a CPU in float32."""
KNOWN = {
    TURBO: Known(weights=1_616_648_611, across=30_720_000, text=9_175_040),
    LARGE_V3: Known(weights=3_087_284_237, across=245_760_000, text=73_400_320),
}


def taken(sizes: Dimensions, plan: GpuPlan) -> int:
    """By model and batches of five beams, all streams at their worst at once."""
    known, rows = KNOWN[sizes], plan.streams * plan.rows
    weights = known.weights // (2 if plan.compute_type.startswith("int8") else 1)
    decoded = known.across + 5 * known.text
    if plan.torch_limit_bytes is None:
        return weights + rows * max(decoded, ENCODED_BY_CTRANSLATE2)
    return weights + ENCODER + rows * decoded + plan.rows * ENCODED_BY_TORCH


@pytest.mark.parametrize("torch", [True, False], ids=["torch", "ctranslate2"])
@pytest.mark.parametrize(
    ("sizes", "gpu_bytes", "of_use", "least"), [(TURBO, A10, 16, 16), (LARGE_V3, A10, 16, 12), (LARGE_V3, H200, 64, 64)]
)
def test_what_is_of_use_fits_the_usual_gpus(
    sizes: Dimensions, gpu_bytes: int, of_use: int, least: int, torch: bool
) -> None:
    plan = planned(sizes, gpu_bytes, rows=of_use, torch=torch)
    assert (plan.compute_type, plan.streams, plan.torch_limit_bytes is not None) == ("float16", 2, torch)
    assert least <= plan.rows <= of_use
    assert taken(sizes, plan) < gpu_bytes


@pytest.mark.parametrize("gpu_gb", [4, 5, 6, 8, 10, 12, 16, 24, 48, 80, 141])
@pytest.mark.parametrize("sizes", [TURBO, LARGE_V3], ids=["turbo", "large-v3"])
@pytest.mark.parametrize("torch", [True, False], ids=["torch", "ctranslate2"])
def test_whatever_is_chosen_fits(sizes: Dimensions, gpu_gb: int, torch: bool) -> None:
    plan = planned(sizes, gpu_gb * GB, rows=64, torch=torch)
    assert plan.rows >= 1
    assert taken(sizes, plan) < gpu_gb * GB


def test_less_memory_costs_batches_then_a_stream_then_torch_then_digits() -> None:
    sizes_gb = (24, 16, 10, 8, 6)
    plans = [planned(LARGE_V3, size * GB) for size in sizes_gb]
    assert [(plan.compute_type, plan.torch_limit_bytes is not None, plan.streams) for plan in plans] == [
        ("float16", True, 2),
        ("float16", True, 2),
        ("float16", True, 1),
        ("float16", False, 1),
        ("int8_float16", False, 1),
    ]
    assert plans[0].rows > plans[1].rows >= 4


@pytest.mark.parametrize("gpu_gb", [6.1, 7.5])
def test_a_row_can_be_sampled_wherever_rows_are_decoded_with_one_beam(gpu_gb: float) -> None:
    """It takes several times as much, and one row is the least that can be sampled."""
    plan = planned(LARGE_V3, round(gpu_gb * GB), beams=1)
    assert batch_bytes(round(gpu_gb * GB), plan.costs.fixed_bytes, plan.streams) >= plan.costs.sampling_bytes


def test_torch_that_is_asked_for_by_name_is_not_left_out() -> None:
    plan = planned(LARGE_V3, 8 * GB, encoder="torch")
    assert plan.torch_limit_bytes is not None


@pytest.mark.parametrize("gpu_gb", [2, 3, 4, 5])
@pytest.mark.parametrize("batch", ["auto", 16])
def test_where_nothing_fits_well_nothing_else_would_have_fitted_better(gpu_gb: int, batch: int | str) -> None:
    plan = planned(LARGE_V3, gpu_gb * GB, max_batch_windows=batch)
    assert (plan.compute_type, plan.streams, plan.torch_limit_bytes) == ("int8_float16", 1, None)


def test_a_gpu_that_is_far_too_small_is_tried_with_one_row() -> None:
    """The warm-up then says what does not fit."""
    assert planned(LARGE_V3, GB).rows == 1


def test_what_is_set_is_taken_whether_it_fits_or_not() -> None:
    plan = planned(LARGE_V3, 6 * GB, rows=48, compute_type="float32", cuda_streams=3, max_batch_windows=48)
    assert (plan.compute_type, plan.streams, plan.rows) == ("float32", 3, 48)


def test_where_nobody_tells_the_memory_the_usual_is_tried() -> None:
    plan = planned(TURBO, None)
    assert (plan.compute_type, plan.streams, plan.rows) == ("float16", 2, 16)


def test_the_encoders_weights_are_there_twice_where_torch_encodes() -> None:
    with_torch, without = (Costs.of(TURBO, "float16", 5, torch=torch) for torch in (True, False))
    assert with_torch.fixed_bytes - without.fixed_bytes == 2 * TURBO.encoder_parameters
    assert with_torch.row_bytes(2) < without.row_bytes(2)


def test_torch_may_take_what_it_needs_and_leaves_the_rest_to_the_decoder() -> None:
    plan = planned(LARGE_V3, A10)
    costs = plan.costs
    assert plan.torch_limit_bytes is not None
    others = (plan.streams - 1) * plan.rows * STATES  # which wait to be decoded
    assert plan.torch_limit_bytes > costs.torch_bytes + plan.rows * costs.encoding_bytes + others
    decoder_bytes = costs.weights_bytes + plan.streams * plan.rows * costs.decoding_bytes
    assert plan.torch_limit_bytes + decoder_bytes < A10


def test_a_row_costs_more_with_more_beams_and_more_layers() -> None:
    one, five = (Costs.of(TURBO, "float16", beams, torch=True).row_bytes(2) for beams in (1, 5))
    assert one < five < Costs.of(LARGE_V3, "float16", 5, torch=True).row_bytes(2)


def test_the_memory_left_is_shared_by_the_streams() -> None:
    assert batch_bytes(A10, 4 * GB, 2) == pytest.approx(batch_bytes(A10, 4 * GB, 1) / 2, rel=1e-6)
    assert batch_bytes(GB, 4 * GB, 2) == 0
