"""Random layers that add so little to what runs through them that the chosen weights have their way."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from transcriber_worker.inference.random_model.plan import Channels
from transcriber_worker.inference.random_model.randomness import Randomness
from transcriber_worker.inference.random_model.shapes import Shape

NOISE = 0.3
"""What all layers together add, by the size of what runs through them."""
_AFTER_GELU = 0.6
"""Size of what comes out of the activation where normal numbers go in."""


def plain_norm(norm: Any, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float16), np.zeros(width, np.float16)


class Layers:
    """Fills attention and feed-forward layers of an encoder or a decoder. `sublayers`: how many of them share in the
    noise."""

    def __init__(self, shape: Shape, random: Randomness, *, sublayers: int) -> None:
        self._shape = shape
        self._random = random
        self._noise = NOISE / sublayers**0.5
        self._chosen = Channels(shape.width).free.start
        """What none of them writes to lies before this."""

    def attention(self, attention: Any, outputs: Sequence[int]) -> None:
        """`outputs`: of its linear layers, the last one's being what is added."""
        width = self._shape.width
        plain_norm(attention.layer_norm, width)
        for linear, size in zip(attention.linear, outputs, strict=True):
            self._linear(linear, size, width, 1.0)
        self._linear(attention.linear[-1], width, width, self._noise)
        attention.linear[-1].weight[: self._chosen] = 0

    def feed_forward(self, ffn: Any) -> None:
        width = self._shape.width
        plain_norm(ffn.layer_norm, width)
        self._linear(ffn.linear_0, 4 * width, width, 1.0)
        self._linear(ffn.linear_1, width, 4 * width, self._noise / _AFTER_GELU)
        ffn.linear_1.weight[: self._chosen] = 0

    def _linear(self, linear: Any, outputs: int, inputs: int, gain: float) -> None:
        linear.weight = self._random.filled(outputs, inputs, scale=gain / inputs**0.5)
        linear.bias = np.zeros(outputs, np.float16)
