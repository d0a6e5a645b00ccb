"""Whisper models to try encoders on: the small real one, and random ones of the large ones' shapes, a few layers deep,
written by CTranslate2's own converter."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2.specs import WhisperSpec
from faster_whisper import WhisperModel
from prometheus_client import CollectorRegistry

from tests.speech import MODELS
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.observability.metrics import Metrics

Values = npt.NDArray[np.float32]


def a_meter() -> Meter:
    return Meter(Metrics(CollectorRegistry()), SystemClock())


def loaded(folder: Path, compute_type: str = "float32") -> Any:
    """faster-whisper's `WhisperModel` on one thread."""
    return WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=1)


def apart(states: Any, expected: Any) -> float:
    """The largest distance of a row from what it should be, in proportion to its size (L2)."""
    pairs = zip(np.asarray(states, np.float32), np.asarray(expected, np.float32), strict=True)
    return max(float(np.linalg.norm(one - other) / np.linalg.norm(other)) for one, other in pairs)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Whisper model."""

    encoder_layers: int
    decoder_layers: int
    width: int = 1280
    heads: int = 20
    bands: int = 128


LARGE_V3 = Shape(encoder_layers=3, decoder_layers=3)
TURBO = Shape(encoder_layers=4, decoder_layers=1)
"""The published ones have 32 and 32 layers, 32 and 4."""

TINY = Shape(encoder_layers=2, decoder_layers=1, width=64, heads=1, bands=80)


def write_random(folder: Path, shape: Shape, quantization: str | None = None) -> Path:
    """A model of this shape. The decoder knows no language and few words: it is the encoder that is looked at."""
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    words = _vocabulary()
    _Filling(shape).model(spec, len(words))
    spec.register_vocabulary(words)
    spec.config.suppress_ids, spec.config.suppress_ids_begin, spec.config.lang_ids = [], [], [5]
    spec.config.alignment_heads = [[shape.decoder_layers - 1, 0]]
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.bands}))
    (folder / "tokenizer.json").symlink_to(MODELS / "base" / "tokenizer.json")
    return folder


def _vocabulary() -> list[str]:
    control = ["endoftext", "startoftranscript", "en", "translate", "transcribe", "startoflm", "startofprev"]
    control += ["nospeech", "notimestamps", *(f"{n * 0.02:.2f}" for n in range(1501))]
    return [*(f"t{n}" for n in range(3)), "", *(f"<|{word}|>" for word in control)]


class _Filling:
    """Random weights that keep the signal at about its size from layer to layer."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = np.random.default_rng(shape.width + shape.encoder_layers)

    def model(self, spec: Any, words: int) -> None:
        width, encoder, decoder = self._shape.width, spec.encoder, spec.decoder
        self._linear(encoder.conv1, width, self._shape.bands, 3)
        self._linear(encoder.conv2, width, width, 3)
        encoder.position_encodings.encodings = self._values(1500, width)
        for layer in encoder.layer:
            self._attention(layer.self_attention, [3 * width, width])
            self._feed_forward(layer.ffn)
        self._norm(encoder.layer_norm)
        decoder.embeddings.weight = self._values(words, width)
        decoder.projection.weight = decoder.embeddings.weight
        decoder.position_encodings.encodings = self._values(448, width)
        for layer in decoder.layer:
            self._attention(layer.self_attention, [3 * width, width])
            self._attention(layer.attention, [width, 2 * width, width])
            self._feed_forward(layer.ffn)
        self._norm(decoder.layer_norm)

    def _attention(self, attention: Any, outputs: list[int]) -> None:
        self._norm(attention.layer_norm)
        for linear, size in zip(attention.linear, outputs, strict=True):
            self._linear(linear, size, self._shape.width)

    def _feed_forward(self, ffn: Any) -> None:
        self._norm(ffn.layer_norm)
        self._linear(ffn.linear_0, 4 * self._shape.width, self._shape.width)
        self._linear(ffn.linear_1, self._shape.width, 4 * self._shape.width)

    def _norm(self, norm: Any) -> None:
        norm.gamma, norm.beta = 1 + self._values(self._shape.width) / 5, self._values(self._shape.width) / 5

    def _linear(self, linear: Any, outputs: int, *inputs: int) -> None:
        linear.weight = self._values(outputs, *inputs) / np.float32(np.sqrt(np.prod(inputs)))
        linear.bias = self._values(outputs) / 10

    def _values(self, *shape: int) -> Values:
        return self._random.standard_normal(shape, np.float32)
