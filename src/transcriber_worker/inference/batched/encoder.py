"""From samples to what the model's decoder works on: features and the encoder's states."""

from collections.abc import Sequence
from typing import Any, Protocol

import ctranslate2
import numpy as np
import numpy.typing as npt

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import FRAME_S, FULL_FRAMES
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.settings import EncoderKind

Features = npt.NDArray[np.float32]
"""(rows, mel bands, frames)."""

FRAME_SAMPLES = round(FRAME_S * SAMPLE_RATE_HZ)


class Encoded(Protocol):
    """A batch as the encoder heard it; to be closed when everything was asked of it."""

    @property
    def states(self) -> Any:
        """What CTranslate2's calls take: a `StorageView`, (rows, frames / 2, d)."""
        ...

    def of(self, rows: Sequence[int]) -> Any:
        """The states of these rows only."""
        ...

    def close(self) -> None:
        """Let go of the states."""
        ...


class Encoder(Protocol):
    """Thread-safe: as many calls run at once as the model has workers."""

    @property
    def kind(self) -> EncoderKind: ...

    def encode(self, pcm: Sequence[Pcm], frames: int) -> Encoded:
        """Hear a batch, each row padded to `frames`, or more where a row is longer. `pcm`: int16, (n,), mono 16 kHz, at
        most 30 s each. Raises `ValueError` for more, and what the accelerator raises."""
        ...

    def out_of_memory(self) -> None:
        """A batch did not fit, here or in the decoder: hold back no memory from the next one."""
        ...


class CTranslate2Encoder:
    """CTranslate2's own encoder. `whisper`: faster-whisper's `WhisperModel`."""

    kind = EncoderKind.CTRANSLATE2

    def __init__(self, whisper: Any, meter: Meter) -> None:
        self._whisper = whisper
        self._meter = meter

    def encode(self, pcm: Sequence[Pcm], frames: int) -> Encoded:
        with self._meter.phase(EnginePhase.FEATURES):
            features = mel_features(self._whisper.feature_extractor, pcm, frames)
        with self._meter.phase(EnginePhase.ENCODE):
            if self._whisper.model.device == "cpu":
                return HostStates(self._one_by_one(features))
            return DeviceStates(self._whisper.encode(features))

    def out_of_memory(self) -> None:
        """CTranslate2 holds nothing back."""

    def _one_by_one(self, features: Features) -> npt.NDArray[np.float32]:
        """A row's attention scores alone (heads x 1500 x 1500) outgrow a CPU's caches: rows encoded together take a
        fifth more CPU and many times the memory, for the same states to the bit."""
        states = [np.asarray(self._whisper.encode(row)) for row in features]
        return np.concatenate(states) if len(states) > 1 else states[0]


class HostStates:
    """States in the memory of the CPU, (rows, frames / 2, d)."""

    def __init__(self, states: npt.NDArray[Any]) -> None:
        self._states: npt.NDArray[Any] | None = states

    @property
    def states(self) -> Any:
        return ctranslate2.StorageView.from_array(self._array)

    def of(self, rows: Sequence[int]) -> Any:
        first, last = rows[0], rows[-1] + 1
        if list(rows) == list(range(first, last)):
            return ctranslate2.StorageView.from_array(self._array[first:last])  # nothing is copied
        return ctranslate2.StorageView.from_array(self._array[list(rows)])

    def close(self) -> None:
        self._states = None

    @property
    def _array(self) -> npt.NDArray[Any]:
        if self._states is None:
            raise RuntimeError("the states were let go of")
        return self._states


class DeviceStates:
    """States in the memory of an accelerator. CTranslate2 can't cut rows out there, so that some of them go by way of
    the CPU's memory: a few megabytes a row."""

    def __init__(self, states: Any) -> None:
        self._states: Any = states
        self._host: HostStates | None = None

    @property
    def states(self) -> Any:
        if self._states is None:
            raise RuntimeError("the states were let go of")
        return self._states

    def of(self, rows: Sequence[int]) -> Any:
        if list(rows) == list(range(self.states.shape[0])):
            return self.states
        if self._host is None:
            self._host = HostStates(on_host(self.states))
        return self._host.of(rows)

    def close(self) -> None:
        self._states = self._host = None


def on_host(states: Any) -> npt.NDArray[Any]:
    """A copy of a `StorageView` in the memory of the CPU."""
    copied = states.to_device(ctranslate2.Device.cpu)
    if copied.dtype == ctranslate2.DataType.bfloat16:  # unknown to numpy
        copied = copied.to(ctranslate2.DataType.float32)
    return np.asarray(copied)


def mel_features(extractor: Any, pcm: Sequence[Pcm], frames: int) -> Features:
    """What the encoder hears: as faster-whisper's batched pipeline makes it, to the bit. The features of each row are
    made from its own samples, and nought follows them to the end. `extractor`: its `FeatureExtractor`."""
    features = np.zeros((len(pcm), extractor.mel_filters.shape[0], padded_frames(pcm, frames)), np.float32)
    for row, samples in zip(features, pcm, strict=True):
        heard = extractor(samples.astype(np.float32) / 32768.0)[:, :-1]
        row[:, : heard.shape[1]] = heard
    return features


def padded_frames(pcm: Sequence[Pcm], frames: int) -> int:
    """What a batch is padded to where `frames` are asked for. Raises `ValueError` for a row that is too long."""
    longest = max(len(samples) for samples in pcm)
    if longest > FULL_FRAMES * FRAME_SAMPLES:
        raise ValueError(f"a row of {longest / SAMPLE_RATE_HZ:.1f} s: the model hears 30 s at most")
    needed = -(-longest // (2 * FRAME_SAMPLES)) * 2  # even: the encoder halves them
    return min(FULL_FRAMES, max(frames, needed))
