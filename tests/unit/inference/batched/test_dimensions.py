"""What a model's size says of the memory a row takes."""

import struct
from pathlib import Path

import pytest

from transcriber_worker.inference.batched.dimensions import Dimensions

TURBO = Dimensions(width=1280, decoder_layers=4, vocabulary=51866)


def text(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def weights(path: Path, shapes: dict[str, tuple[int, ...]], version: int = 6) -> Path:
    """A model.bin as CTranslate2's converter lays it out, of one byte a value."""
    parts = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(shapes))]
    for name, shape in shapes.items():
        size = 1
        for length in shape:
            size *= length
        parts += [text(name), struct.pack(f"<B{len(shape)}I", len(shape), *shape), struct.pack("<BI", 1, size)]
        parts.append(bytes(size))
    parts.append(struct.pack("<I", 0))  # nothing is called by two names
    path.write_bytes(b"".join(parts))
    return path


def a_model(path: Path, *, layers: int = 3, version: int = 6) -> Path:
    shapes: dict[str, tuple[int, ...]] = {"encoder/num_heads": (), "encoder/layer_7/ffn/linear_0/weight": (8, 2)}
    shapes |= {f"decoder/layer_{n}/attention/linear_0/weight": (4, 4) for n in range(layers)}
    shapes |= {"decoder/layer_norm/gamma": (4,), "decoder/embeddings/weight": (51, 4)}
    return weights(path, shapes, version)


def test_the_size_is_read_from_the_weights(tmp_path: Path) -> None:
    found = Dimensions.read(a_model(tmp_path / "model.bin", layers=12))
    assert found == Dimensions(width=4, decoder_layers=12, vocabulary=51)


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
    estimated = max(TURBO.encoding_bytes(3000, 2), TURBO.decoding_bytes(3000, beams=5, value_bytes=2))
    assert measured / 1.5 <= estimated <= measured * 1.5


def test_memory_grows_with_length_beams_and_width_of_values() -> None:
    small = TURBO.decoding_bytes(1000, beams=1, value_bytes=2)
    assert small < TURBO.decoding_bytes(1000, beams=5, value_bytes=2) < TURBO.decoding_bytes(3000, 5, 2)
    assert TURBO.decoding_bytes(3000, 5, 2) < TURBO.decoding_bytes(3000, 5, 4)
    assert TURBO.encoding_bytes(1000, 2) < TURBO.encoding_bytes(3000, 2) / 3
