"""Drops what one channel only overhears from another. Pure."""

import numpy as np
import numpy.typing as npt

MARGIN_DB = 15.0
"""A channel this far below another that speaks carries its leak. Echo and leakage of telephone hybrids and headsets lie
20 dB and more below; two people who talk at once seldom differ by more than 10 dB."""
_HALF_WIDTH_CHUNKS = 7
"""Levels are averaged over 15 chunks (about half a second), so that a gap between words does not open the gate."""

Floats = npt.NDArray[np.float32]


class CrosstalkGate:
    """Sets a channel's speech probability to 0 where another channel speaks and is louder by `MARGIN_DB`.

    Works with a delay of 7 chunks; what goes in comes out once, in order.
    """

    def __init__(self, channels: int, threshold: float) -> None:
        self._threshold = threshold
        self._ratio = 10.0 ** (MARGIN_DB / 10.0)
        self._probabilities = np.empty((channels, 0), np.float32)
        self._powers = np.zeros((channels, _HALF_WIDTH_CHUNKS), np.float32)
        """Powers of the waiting chunks, led by those of the 7 before them."""

    def feed(self, probabilities: Floats, powers: Floats) -> Floats:
        """`probabilities`, `powers` (mean square): (channels, n). Returns gated probabilities, (channels, m)."""
        self._probabilities = np.concatenate((self._probabilities, probabilities), axis=1)
        self._powers = np.concatenate((self._powers, powers), axis=1)
        return self._take(self._probabilities.shape[1] - _HALF_WIDTH_CHUNKS)

    def finish(self) -> Floats:
        """The rest."""
        channels, waiting = self._probabilities.shape
        self._powers = np.concatenate((self._powers, np.zeros((channels, _HALF_WIDTH_CHUNKS), np.float32)), axis=1)
        return self._take(waiting)

    def _take(self, count: int) -> Floats:
        channels = self._probabilities.shape[0]
        if count <= 0:
            return np.empty((channels, 0), np.float32)
        width = 2 * _HALF_WIDTH_CHUNKS + 1
        levels = np.lib.stride_tricks.sliding_window_view(self._powers, width, axis=1)[:, :count].mean(axis=2)
        taken = self._probabilities[:, :count].copy()
        speaking = np.where(taken >= self._threshold, levels, 0.0)
        taken[levels * self._ratio < speaking.max(axis=0)] = 0.0
        self._probabilities = self._probabilities[:, count:]
        self._powers = self._powers[:, count:]
        return taken
