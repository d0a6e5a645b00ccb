"""How large a model is, read from the head of each of its weights: what a row of a batch takes follows from it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_HEAD_WIDTH = 64
"""Of every Whisper model."""

_OLDEST_LAYOUT = 4
"""Models converted before this version name no type for their weights."""

_MOST_TOKENS = 224
"""Decoded for a row: speech takes about 100 in 30 s, a text that repeats itself takes all."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Of a Whisper model."""

    width: int
    decoder_layers: int
    vocabulary: int

    @classmethod
    def read(cls, weights: Path) -> "Dimensions":
        """`weights`: CTranslate2's model.bin. Raises `ValueError` for one that is laid out otherwise."""
        shapes = _shapes(weights)
        try:
            vocabulary, width = shapes["decoder/embeddings/weight"]
        except KeyError:
            raise ValueError(f"{weights}: not the weights of a Whisper model") from None
        layers = {name.split("/")[1] for name in shapes if name.startswith("decoder/layer_") and name.count("/") > 2}
        return cls(width, len(layers), vocabulary)

    def decoding_bytes(self, frames: int, beams: int, value_bytes: int) -> int:
        """What decoding takes for one row: its states, keys and values of them for every layer, keys and values of
        every beam's text, a few copies of its logits."""
        states = frames // 2 * self.width * value_bytes
        across = 2 * self.decoder_layers * states
        text = 2 * self.decoder_layers * self.width * value_bytes * beams * _MOST_TOKENS
        return states + across + text + 4 * beams * self.vocabulary * 4

    def encoding_bytes(self, frames: int, value_bytes: int) -> int:
        """What encoding takes for one row: attention scores of one layer, queries, keys, values and the feed-forward
        layer."""
        length = frames // 2
        scores = self.width // _HEAD_WIDTH * length * length
        return (scores + 12 * length * self.width) * value_bytes


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    with weights.open("rb") as file:
        (version,) = _numbers(file, "I")
        if version < _OLDEST_LAYOUT:
            raise ValueError(f"{weights}: converted for CTranslate2 of long ago; convert the model again")
        _name(file)
        _, count = _numbers(file, "II")
        return dict(_shape(file) for _ in range(count))


def _shape(file: BinaryIO) -> tuple[str, tuple[int, ...]]:
    """One weight's name and shape; its values are passed over."""
    name = _name(file)
    (rank,) = _numbers(file, "B")
    shape = _numbers(file, f"{rank}I")
    _, size = _numbers(file, "BI")
    file.seek(size, 1)
    return name, shape


def _name(file: BinaryIO) -> str:
    (length,) = _numbers(file, "H")
    return file.read(length).rstrip(b"\0").decode()


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    read = file.read(struct.calcsize(f"<{layout}"))
    try:
        return struct.unpack(f"<{layout}", read)
    except struct.error:
        raise ValueError("the model's weights end too early") from None
