"""The page on performance: what is computed there is what its formula gives."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.docs.pages import PROJECT

PAGE = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
LAYERS, WIDTH, STATES, BANDS = 32, 1280, 1500, 128
TOKENS = 100
VALUE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Gpu:
    """As its data sheet has it: float16 without sparsity."""

    flops: float
    bytes_s: float


GPUS = {"A10": Gpu(125e12, 600e9), "L4": Gpu(121e12, 300e9), "H200": Gpu(989e12, 4800e9)}


@dataclass(frozen=True, slots=True)
class Decoder:
    weights_bytes: float
    layers: int

    @property
    def row_bytes(self) -> float:
        return 2 * self.layers * STATES * WIDTH * VALUE_BYTES


TURBO, LARGE_V3 = Decoder(317e6, 4), Decoder(1600e6, 32)


def encoder_flop() -> float:
    linear = 2 * 12 * WIDTH**2 * STATES * LAYERS
    attention = 2 * 2 * STATES**2 * WIDTH * LAYERS
    convolutions = 2 * 3 * (BANDS * WIDTH * 2 * STATES + WIDTH**2 * STATES)
    return float(linear + attention + convolutions)


def encode_ms(gpu: Gpu) -> float:
    return 1000 * encoder_flop() / gpu.flops


def written_out_ms(gpu: Gpu) -> float:
    return encode_ms(gpu) + 1000 * 19e9 / gpu.bytes_s


def decode_ms(decoder: Decoder, rows: int) -> Callable[[Gpu], float]:
    return lambda gpu: 1000 * TOKENS * (decoder.weights_bytes / rows + decoder.row_bytes) / gpu.bytes_s


def real_time(decoder: Decoder, rows: int = 16) -> Callable[[Gpu], float]:
    return lambda gpu: 30_000 / (encode_ms(gpu) + decode_ms(decoder, rows)(gpu))


ROWS: dict[str, Callable[[Gpu], float]] = {
    "encode, ms": encode_ms,
    "encode with scores written out, ms": written_out_ms,
    **{f"turbo: decode, R = {rows}, ms": decode_ms(TURBO, rows) for rows in (1, 16, 64)},
    "turbo: times real time, R = 16": real_time(TURBO),
    **{f"large-v3: decode, R = {rows}, ms": decode_ms(LARGE_V3, rows) for rows in (1, 16, 64)},
    "large-v3: times real time, R = 16": real_time(LARGE_V3),
}


def shown() -> dict[str, list[float]]:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
    found = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}
    assert found[""] == list(GPUS)
    return {name: [float(cell) for cell in found[name]] for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_what_a_gpu_could_do_is_what_the_formula_gives(name: str) -> None:
    for gpu, told in zip(GPUS.values(), shown()[name], strict=True):
        assert told == pytest.approx(ROWS[name](gpu), rel=0.005, abs=0.06)


def test_the_formulas_constants_follow_from_the_models_shapes() -> None:
    assert encoder_flop() == pytest.approx(2.274e12, rel=0.001)
    assert (TURBO.row_bytes, LARGE_V3.row_bytes) == pytest.approx((30.7e6, 246e6), rel=0.005)
    assert "2.274e12" in PAGE
    assert "`X` = 30.7e6 bytes" in PAGE


def test_what_larger_batches_win_follows_from_the_formula() -> None:
    won = [real_time(decoder, 64)(GPUS["A10"]) / real_time(decoder, 16)(GPUS["A10"]) for decoder in (LARGE_V3, TURBO)]
    assert won == pytest.approx([1.20, 1.10], abs=0.01)
    assert "20 % with large-v3 and 10 % with turbo" in PAGE


def test_no_gpu_was_measured_yet_and_the_page_says_so_first() -> None:
    assert PAGE.split("\n\n")[1].startswith("**No figure of a GPU is on this page that was measured")
