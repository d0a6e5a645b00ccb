"""How large a model is, read from the head of each of its weights: what a row of a batch takes follows from it."""

from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.inference.batched.weights import WeightsFile

_HEAD_WIDTH = 64
"""Of every Whisper model."""

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
        shapes = {name: weight.shape for name, weight in WeightsFile(weights).weights.items()}
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
