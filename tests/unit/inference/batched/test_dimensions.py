"""What a model's size says of the memory a row takes."""

from pathlib import Path

import pytest

from tests.unit.inference.batched.model_bins import a_model, weights
from transcriber_worker.inference.batched.dimensions import Dimensions

TURBO = Dimensions(width=1280, decoder_layers=4, vocabulary=51866)


def test_the_size_is_read_from_the_weights(tmp_path: Path) -> None:
    found = Dimensions.read(a_model(tmp_path / "model.bin", layers=12))
    assert (found.width, found.decoder_layers, found.vocabulary) == (4, 12, 51)
    assert found.encoder_parameters == 1 + 8 * 2
    assert found.parameters == found.encoder_parameters + 12 * 4 * 4 + 4 + 51 * 4


@pytest.mark.parametrize("kept", [0, 3, 40, 200])
def test_weights_that_end_too_early_are_reported(tmp_path: Path, kept: int) -> None:
    path = a_model(tmp_path / "model.bin")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="end too early"):
        Dimensions.read(path)


def test_another_kind_of_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the weights of a Whisper model"):
        Dimensions.read(weights(tmp_path / "model.bin", {"decoder/layer_0/ffn/weight": (2, 2)}))


def test_weights_of_an_old_layout_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="convert the model again"):
        Dimensions.read(a_model(tmp_path / "model.bin", version=3))


def test_the_published_figure_for_turbo_is_met() -> None:
    """157 to 161 MB a row were measured for a large encoder in float16."""
    measured = 159e6
    estimated = max(TURBO.encoding_bytes(3000, 2), TURBO.decoding_bytes(3000, 5, 2))
    assert measured / 1.5 <= estimated <= measured * 1.5


def test_memory_grows_with_length_beams_and_width_of_values() -> None:
    small = TURBO.decoding_bytes(1000, 1, 2)
    assert small < TURBO.decoding_bytes(1000, 5, 2) < TURBO.decoding_bytes(3000, 5, 2)
    assert TURBO.decoding_bytes(3000, 5, 2) < TURBO.decoding_bytes(3000, 5, 4)
    assert TURBO.encoding_bytes(1000, 2) < TURBO.encoding_bytes(3000, 2) / 3


def test_a_row_is_counted_with_all_the_tokens_that_it_may_get() -> None:
    """448 with the text before, keys and values of 4 layers of 1280 numbers of two bytes, for each beam."""
    per_beam = TURBO.decoding_bytes(3000, 2, 2) - TURBO.decoding_bytes(3000, 1, 2)
    assert per_beam == 2 * 4 * 1280 * 2 * 448 + 4 * 51866 * 4


def test_texts_that_are_sampled_share_no_keys_and_values() -> None:
    """Of the states: 30.7 MB each for turbo."""
    more = TURBO.decoding_bytes(3000, 5, 2, sampled=True) - TURBO.decoding_bytes(3000, 5, 2)
    assert more == pytest.approx(4 * 30.72e6)


def test_fused_attention_needs_less_and_grows_with_the_length() -> None:
    assert TURBO.fused_encoding_bytes(3000, 2) < TURBO.encoding_bytes(3000, 2) / 2
    assert TURBO.fused_encoding_bytes(1000, 2) == pytest.approx(TURBO.fused_encoding_bytes(3000, 2) / 3)


@pytest.mark.parametrize(
    ("compute_type", "expected"),
    [("float32", 400), ("float16", 200), ("bfloat16", 200), ("int8_float16", 100), ("int8", 100)],
)
def test_weights_take_what_they_are_computed_in(compute_type: str, expected: int) -> None:
    assert Dimensions(4, 1, 51, parameters=100).weights_bytes(compute_type) == expected
