"""An encoder on torch: the same weights as CTranslate2's, with fused attention. Imports torch."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from transcriber_worker.domain.audio import Pcm
from transcriber_worker.inference.batched.encoder import Encoded
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.torch_encoder.device import Device
from transcriber_worker.inference.batched.torch_encoder.features import LogMel
from transcriber_worker.inference.batched.torch_encoder.network import Reader
from transcriber_worker.inference.batched.weights import WeightsFile
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.settings import EncoderKind


def precision(device: str, compute_type: str) -> torch.dtype:
    """What to compute in where CTranslate2's decoder computes in `compute_type`."""
    if device == "cpu" or compute_type == "float32":
        return torch.float32
    return torch.bfloat16 if compute_type.endswith("bfloat16") else torch.float16


class TorchEncoder:
    """An `Encoder`. Batches are encoded one after another: each keeps the whole device busy, and two at once would
    only take twice the memory. `extractor`: faster-whisper's `FeatureExtractor`."""

    kind = EncoderKind.TORCH

    def __init__(self, weights: Path, extractor: Any, device: Device, dtype: torch.dtype, meter: Meter) -> None:
        """Raises `ValueError` for weights of another kind, and what the device raises."""
        self._device = device
        self._dtype = dtype
        self._meter = meter
        self._full = threading.Event()
        """Memory ran out since the last batch."""
        with device.turn():
            self._features = LogMel(extractor, device.place)
            self._network = Reader(WeightsFile(weights), device.place, dtype).network()
            device.settle()

    def encode(self, pcm: Sequence[Pcm], frames: int) -> Encoded:
        with self._device.turn():
            if self._full.is_set():
                self._full.clear()
                self._device.trim()
            with self._meter.phase(EnginePhase.FEATURES):
                features = self._features(pcm, frames).to(self._dtype)
                self._device.settle()
            with self._meter.phase(EnginePhase.ENCODE):
                states = self._network(features)
                if states.dtype == torch.bfloat16:  # which CTranslate2 takes from nobody
                    states = states.to(torch.float32)
                self._device.settle()
        return TorchStates(states, self._device)

    def out_of_memory(self) -> None:
        # Not at once: the error that is being handled still holds what the batch had allocated.
        self._full.set()


class TorchStates:
    """States in a tensor, (rows, frames / 2, d). Rows one after another are picked without a copy."""

    def __init__(self, states: torch.Tensor, device: Device) -> None:
        self._states: torch.Tensor | None = states
        self._device = device

    @property
    def states(self) -> Any:
        return self._device.hand_over(self._tensor)

    def of(self, rows: Sequence[int]) -> Any:
        first, last = rows[0], rows[-1] + 1
        if list(rows) == list(range(first, last)):
            return self._device.hand_over(self._tensor[first:last])
        return self._device.hand_over(self._device.picked(self._tensor, rows))

    def close(self) -> None:
        self._states = None

    @property
    def _tensor(self) -> torch.Tensor:
        if self._states is None:
            raise RuntimeError("the states were let go of")
        return self._states
