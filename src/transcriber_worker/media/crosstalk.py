"""Drops what one channel only overhears from another. Pure."""

import numpy as np
import numpy.typing as npt

MARGIN_DB = 15.0
"""A channel this far below another that speaks carries its leak. Echo and leakage of telephone hybrids and headsets lie
20 dB and more below; two people who talk at once seldom differ by more than 10 dB."""
_HALF_WIDTH_CHUNKS = 7
"""Levels and speech are taken over 15 chunks (about half a second): a gap between words does not open the gate."""

Floats = npt.NDArray[np.float32]


class CrosstalkGate:
    """Sets a channel's speech probability to 0 where another channel speaks and is louder by `MARGIN_DB`.

    Works with a delay of 7 chunks; what goes in comes out once, in order.
    """

    def __init__(self, channels: int, threshold: float) -> None:
        self._threshold = threshold
        self._ratio = 10.0 ** (MARGIN_DB / 10.0)
        self._probabilities = np.zeros((channels, _HALF_WIDTH_CHUNKS), np.float32)
        self._powers = np.zeros((channels, _HALF_WIDTH_CHUNKS), np.float32)
        """Of the waiting chunks, led by the 7 before them."""

    def feed(self, probabilities: Floats, powers: Floats) -> Floats:
        """`probabilities`, `powers` (mean square): (channels, n). Returns gated probabilities, (channels, m)."""
        self._probabilities = np.concatenate((self._probabilities, probabilities), axis=1)
        self._powers = np.concatenate((self._powers, powers), axis=1)
        return self._take()

    def finish(self) -> Floats:
        """The rest."""
        nothing = np.zeros((len(self._powers), _HALF_WIDTH_CHUNKS), np.float32)
        return self.feed(nothing, nothing)

    def _take(self) -> Floats:
        width = 2 * _HALF_WIDTH_CHUNKS + 1
        count = self._probabilities.shape[1] - width + 1
        if count <= 0:
            return np.empty((len(self._powers), 0), np.float32)
        around = np.lib.stride_tricks.sliding_window_view
        levels = around(self._powers, width, axis=1).mean(axis=2)
        speaks = around(self._probabilities, width, axis=1).max(axis=2) >= self._threshold
        taken = self._probabilities[:, _HALF_WIDTH_CHUNKS : _HALF_WIDTH_CHUNKS + count].copy()
        taken[levels * self._ratio < np.where(speaks, levels, 0.0).max(axis=0)] = 0.0
        self._probabilities = self._probabilities[:, count:]
        self._powers = self._powers[:, count:]
        return taken
