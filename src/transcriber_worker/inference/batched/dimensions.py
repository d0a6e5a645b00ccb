"""How large a model is, read from the head of each of its weights: what a row of a batch takes follows from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.inference.batched.weights import Weight, WeightsFile

_HEAD_WIDTH = 64
"""Of every Whisper model."""

_PROMPT_TOKENS = 224
"""The longest text before, read at once."""
_MOST_TOKENS = 448
"""Of a row, the text before counted. Speech takes about 100 in 30 s; a text that repeats itself takes all."""

_FRAME_BYTES = 7200
"""Samples as floats, windowed; 201 frequencies as complex numbers, and their power: all in float32."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Of a Whisper model."""

    width: int
    decoder_layers: int
    vocabulary: int
    parameters: int = 0
    encoder_parameters: int = 0

    @classmethod
    def read(cls, weights: Path) -> "Dimensions":
        """`weights`: CTranslate2's model.bin. Raises `ValueError` for one that is laid out otherwise."""
        found = WeightsFile(weights).weights
        embeddings = found.get("decoder/embeddings/weight")
        if embeddings is None:
            raise ValueError(f"{weights}: not the weights of a Whisper model")
        vocabulary, width = embeddings.shape
        layers = {name.split("/")[1] for name in found if name.startswith("decoder/layer_") and name.count("/") > 2}
        encoder = (weight for name, weight in found.items() if name.startswith("encoder/"))
        return cls(width, len(layers), vocabulary, _parameters(found.values()), _parameters(encoder))

    @staticmethod
    def value_bytes(compute_type: str) -> int:
        """Of one number on its way through the model."""
        return 2 if compute_type.endswith("float16") else 4

    def weights_bytes(self, compute_type: str) -> int:
        """Of all weights in memory; the few that are never quantised are not told apart."""
        return self.parameters * (1 if compute_type.startswith("int8") else self.value_bytes(compute_type))

    def decoding_bytes(self, frames: int, texts: int, value_bytes: int, *, sampled: bool = False) -> int:
        """What decoding takes for one row that is written to its end, `texts` times at once: its states and a copy of
        them, keys and values of them for every layer, keys and values of every text, what the text before looks at of
        the states in one layer, a few copies of the logits. `sampled`: whether texts are sampled, for which CTranslate2
        repeats the states' keys and values too; beams share them."""
        states = frames // 2 * self.width * value_bytes
        across = 2 * self.decoder_layers * states * (texts if sampled else 1)
        written = 2 * self.decoder_layers * self.width * value_bytes * texts * _MOST_TOKENS
        looked_at = self.width // _HEAD_WIDTH * _PROMPT_TOKENS * (frames // 2) * value_bytes
        return 2 * states + across + written + looked_at + 4 * texts * self.vocabulary * 4

    def encoding_bytes(self, frames: int, value_bytes: int) -> int:
        """What encoding takes for one row: attention scores of one layer, queries, keys, values and the feed-forward
        layer."""
        length = frames // 2
        scores = self.width // _HEAD_WIDTH * length * length
        return (scores + 12 * length * self.width) * value_bytes

    def fused_encoding_bytes(self, frames: int, value_bytes: int) -> int:
        """The same where attention scores are never written out: the feed-forward layer before and after its
        activation, or the spectrum where that is more."""
        return max(frames * _FRAME_BYTES, 10 * (frames // 2) * self.width * value_bytes)


def _parameters(weights: Iterable[Weight]) -> int:
    """How many numbers; what has two names counts once."""
    return sum({weight.offset: math.prod(weight.shape) for weight in weights}.values())
