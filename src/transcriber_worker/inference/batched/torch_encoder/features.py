"""The log-mel spectrogram that Whisper hears, made on the device. Imports torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from transcriber_worker.domain.audio import Pcm
from transcriber_worker.inference.batched.encoder import FRAME_SAMPLES, padded_frames

_TAIL_SAMPLES = 160
"""faster-whisper lets so much silence follow."""
_RANGE = 8.0
"""What is so many powers of ten quieter than the loudest of a row is as quiet as that."""


class LogMel:
    """faster-whisper's features of a batch, but for the last digits. `extractor`: its `FeatureExtractor`."""

    def __init__(self, extractor: Any, place: torch.device) -> None:
        self._size = int(extractor.n_fft)
        self._place = place
        self._filters = torch.from_numpy(extractor.mel_filters).to(place)
        self._window = torch.from_numpy(np.hanning(self._size + 1)[:-1].astype(np.float32)).to(place)

    def __call__(self, pcm: Sequence[Pcm], frames: int) -> torch.Tensor:
        """float32, (rows, mel bands, frames or more where a row is longer); see `mel_features`."""
        frames = padded_frames(pcm, frames)
        mel = self._filters @ self._power(pcm)
        log = mel.clamp(min=1e-10).log10()
        own = torch.tensor([len(samples) // FRAME_SAMPLES for samples in pcm], device=self._place)[:, None]
        number = torch.arange(log.shape[-1], device=self._place)[None, :]
        # How loud a row is at most is measured in one frame more than is heard of it, as faster-whisper does.
        measured = log.masked_fill((number > own)[:, None], -torch.inf)
        log = torch.maximum(log, measured.amax((1, 2), keepdim=True) - _RANGE)
        log = ((log + 4.0) / 4.0).masked_fill((number >= own)[:, None], 0.0)
        return torch.nn.functional.pad(log, (0, frames - log.shape[-1]))  # cuts where there are more

    def _power(self, pcm: Sequence[Pcm]) -> torch.Tensor:
        """Of each frame and frequency; frames after a row's own are of no meaning."""
        samples = torch.from_numpy(self._mirrored(pcm)).to(self._place).to(torch.float32) / 32768.0
        found = torch.stft(samples, self._size, FRAME_SAMPLES, window=self._window, center=False, return_complex=True)
        return found.real.square() + found.imag.square()

    def _mirrored(self, pcm: Sequence[Pcm]) -> npt.NDArray[np.int16]:
        """The rows one below the other, each with what faster-whisper puts around it. On the CPU: little is copied,
        and half of what it were as floats."""
        around = self._size // 2
        longest = max(len(samples) for samples in pcm) + _TAIL_SAMPLES + 2 * around
        rows = np.zeros((len(pcm), longest), np.int16)
        for row, samples in zip(rows, pcm, strict=True):
            mirrored = np.pad(np.pad(samples, (0, _TAIL_SAMPLES)), around, mode="reflect")
            row[: len(mirrored)] = mirrored
        return rows
