"""Random numbers by the hundred million, the same ones for the same seed."""

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Stored = npt.NDArray[np.float16]

_POOL = 1 << 22


class Randomness:
    """Normal numbers. Large arrays repeat a few million of them, each from another place on: drawing them all would
    take minutes."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._pool: Values = self._generator.standard_normal(_POOL, np.float32)

    def normal(self, *shape: int, scale: float = 1.0) -> Values:
        """To be computed with: all drawn."""
        return self._generator.standard_normal(shape, np.float32) * np.float32(scale)

    def exponential(self, *shape: int) -> Values:
        return self._generator.standard_exponential(shape, np.float32)

    def filled(self, *shape: int, scale: float) -> Stored:
        """To be stored."""
        count = math.prod(shape)
        scaled = (self._pool * np.float32(scale)).astype(np.float16)
        start = int(self._generator.integers(_POOL))
        flat: Stored = np.empty(count, np.float16)
        done = 0
        while done < count:
            piece = scaled[start : start + count - done]
            flat[done : done + len(piece)] = piece
            done, start = done + len(piece), 0
        return flat.reshape(shape)
