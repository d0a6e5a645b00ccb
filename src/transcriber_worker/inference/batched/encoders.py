"""Which encoder a model gets: torch's where it is wanted, can be had, and hears what CTranslate2's hears."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.accelerator_errors import judged
from transcriber_worker.inference.batched.encoder import CTranslate2Encoder, Encoder, on_host
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import FULL_FRAMES
from transcriber_worker.inference.loading import Runtime, known_sentence
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.settings import EncoderKind

if TYPE_CHECKING:
    from transcriber_worker.inference.batched.torch_encoder.device import Device

    DeviceOf = Callable[[Runtime], Device]

_START_S = 2.0

_APART = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 8e-2}
"""How far states may be from CTranslate2's, in proportion to their size (L2), by what it computes in. In float32 they
are less than 1e-5 apart; bfloat16 has an eighth of float16's digits."""
_APART_INT8 = 0.3
"""Quantised, CTranslate2's own states are apart from exact ones by up to 0.16."""


class _Unusable(Exception):
    """Why torch's encoder is not used."""


def encoder_for(
    files: ModelFiles, whisper: Any, runtime: Runtime, meter: Meter, device_of: "DeviceOf | None" = None
) -> Encoder:
    """The encoder of a loaded model. `whisper`: faster-whisper's `WhisperModel`; `device_of`: where torch computes,
    unless it is what `runtime` says. Raises `WorkerBroken` where torch was asked for by name and is not installed, and
    where the accelerator can't be used any more."""
    plain = CTranslate2Encoder(whisper, meter)
    if not wants_torch(runtime.encoder, runtime.device):
        return plain
    expected = _heard(plain, whisper)  # before torch: what CTranslate2 lacks is no reason to fall back on it
    encoder, device = None, None
    try:
        device = _device(runtime, device_of)
        encoder = _load(files, whisper, runtime, meter, device)
        _compare(_heard(encoder, whisper), expected, whisper)
    except Exception as error:  # whatever a torch that nobody tried lacks
        if isinstance(judged(error), WorkerBroken):
            raise judged(error) from error
        reason = str(error) if isinstance(error, _Unusable) else f"{type(error).__name__}: {error}"
    else:
        return encoder
    # Outside the clause above, whose error holds on to what was allocated on the way. What torch keeps for later is
    # CTranslate2's from now on.
    encoder = None
    if device is not None:
        device.trim()
    emit(events.ENCODER_FALLBACK, message=reason)
    return plain


def wants_torch(kind: EncoderKind, device: str) -> bool:
    """Whether torch is to be tried. Raises `WorkerBroken` where it was asked for by name and is not installed."""
    installed = importlib.util.find_spec("torch") is not None
    if kind is EncoderKind.TORCH and not installed:
        raise WorkerBroken(
            "engine.encoder: torch needs torch: install transcriber-worker[torch-encoder], or set auto or ctranslate2"
        )
    if kind is EncoderKind.AUTO:
        return installed and device == "cuda"
    return kind is EncoderKind.TORCH


def _device(runtime: Runtime, device_of: "DeviceOf | None") -> "Device":
    """Torch takes seconds to import, and is not there for everybody."""
    from transcriber_worker.inference.batched.torch_encoder.device import device_for

    return (device_of or device_for)(runtime)


def _load(files: ModelFiles, whisper: Any, runtime: Runtime, meter: Meter, device: "Device") -> Encoder:
    from transcriber_worker.inference.batched.torch_encoder.encoder import TorchEncoder, precision

    dtype = precision(runtime.device, str(whisper.model.compute_type))
    return TorchEncoder(files.path / WEIGHTS, whisper.feature_extractor, device, dtype, meter)


@dataclass(frozen=True, slots=True)
class _Heard:
    states: Any
    """(rows, frames / 2, d)."""
    languages: list[str]
    """That the decoder finds in them; none where the model knows only one."""


def _compare(found: _Heard, expected: _Heard, whisper: Any) -> None:
    """Raise `_Unusable` where an encoder does not hear what the plain one hears."""
    compute_type = str(whisper.model.compute_type)
    most = _APART.get(compute_type, _APART_INT8)
    apart = np.max([_apart(one, other) for one, other in zip(found.states, expected.states, strict=True)])
    if not apart <= most:  # what is no number at all is too much too, and unlike `max` numpy's keeps it
        raise _Unusable(f"its states are {apart:.2g} of their size apart from CTranslate2's, {most:g} at most is right")
    if found.languages != expected.languages:
        heard, should = ", ".join(found.languages), ", ".join(expected.languages)
        raise _Unusable(f"it hears {heard} where CTranslate2's encoder hears {should}")


def _heard(encoder: Encoder, whisper: Any) -> _Heard:
    """Real speech: a sentence, and its beginning."""
    sentence = np.rint(known_sentence() * 32768.0).astype(np.int16)
    rows = [sentence, sentence[: round(_START_S * SAMPLE_RATE_HZ)]]
    encoded = encoder.encode(rows, FULL_FRAMES)
    states = on_host(encoded.states).astype(np.float32)
    if not whisper.model.is_multilingual:
        return _Heard(states, [])
    return _Heard(states, [ranking[0][0] for ranking in whisper.model.detect_language(encoded.states)])


def _apart(states: Any, expected: Any) -> float:
    """(n, d) both: the distance in proportion to the size."""
    return float(np.linalg.norm(states - expected) / np.linalg.norm(expected))
