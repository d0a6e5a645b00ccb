"""The encoder: random layers, and states that tell where they are, whether there is audio, and what is odd about it."""

from typing import Any

import numpy as np

from transcriber_worker.inference.random_model.layers import NOISE, Layers, plain_norm
from transcriber_worker.inference.random_model.plan import MORE_TOKENS, STATES, STYLES, TOKENS_PER_NUMBER, Channels
from transcriber_worker.inference.random_model.randomness import Randomness, Values
from transcriber_worker.inference.random_model.shapes import Shape

_GROUPS = 8
_STEEPNESS = 20.0
_LOW, _HIGH = 1.0, 3.0
"""Features between these, times the steepness, count in part: nought is padding, speech and silence are further off."""
_AUDIO = 4.0
"""How much audio at its most puts into its channel."""
_AUDIO_MEAN = 4.15
"""And on average: measured on this repository's recordings."""
_AT_REST = -0.1546
"""What a pair of counters adds up to where nothing is heard: gelu(-1) - gelu(-3)."""
_FEATURES_SCALE = 0.25
_ODDITIES = 8
_MOST = 3.0
"""Times the average of what a text may be longer by, so that none is longer than texts may get."""
_STYLE_SCALE = 2.0


def oddities(channels: Channels) -> slice:
    """The encoder's channels that only depend on the audio."""
    return slice(channels.free.start, channels.free.start + _ODDITIES)


def audio_level(channels: Channels) -> float:
    """What a state of audio has in its channel on average, once the last norm has divided it by the state's size."""
    random = channels.count_free - _ODDITIES + channels.waves + STYLES * _STYLE_SCALE**2
    variance = (random + _AUDIO**2) / channels.width + NOISE**2
    return float(_AUDIO_MEAN / variance**0.5)


def waves(channels: Channels, share: Values) -> Values:
    """Places in a full window, in shares of it: (n,) to (n, 2 * waves). Their products tell how close two are."""
    angles = np.pi * np.outer(share, np.arange(1, channels.waves + 1))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def fill_encoder(encoder: Any, shape: Shape, random: Randomness) -> None:
    """`encoder`: of a `WhisperSpec`."""
    channels = Channels(shape.width)
    _fill_convolutions(encoder, shape, channels, random)
    encoder.position_encodings.encodings = _positions(channels, random)
    layers = Layers(shape, random, sublayers=2 * shape.encoder_layers)
    for layer in encoder.layer:
        layers.attention(layer.self_attention, [3 * shape.width, shape.width])
        layers.feed_forward(layer.ffn)
    plain_norm(encoder.layer_norm, shape.width)


def _positions(channels: Channels, random: Randomness) -> Any:
    found = random.normal(STATES, channels.width)
    share = np.arange(STATES, dtype=np.float32) / np.float32(STATES)
    found[:, channels.time] = waves(channels, share)
    found[:, channels.audio] = 0
    # The later, the larger, since the one that is looked at lies within the audio, and short audio gets short texts.
    skewed = np.minimum(random.exponential(STATES), _MOST)
    found[:, channels.number] = skewed * 2 * share * MORE_TOKENS / TOKENS_PER_NUMBER
    found[:, channels.style] = random.normal(STATES, STYLES, scale=_STYLE_SCALE)
    found[:, oddities(channels)] = 0
    return found.astype(np.float16)


def _fill_convolutions(encoder: Any, shape: Shape, channels: Channels, random: Randomness) -> None:
    width = shape.width
    first = random.filled(width, shape.bands, 3, scale=_FEATURES_SCALE)
    bias = np.zeros(width, np.float16)
    bands = shape.bands // _GROUPS
    counters = 0
    for group in range(_GROUPS):
        for sign in (1, -1):
            for threshold in (_LOW, _HIGH):
                first[counters] = 0
                first[counters, group * bands : (group + 1) * bands, 1] = sign * _STEEPNESS / bands
                bias[counters] = -threshold
                counters += 1
    encoder.conv1.weight, encoder.conv1.bias = first, bias
    second = random.filled(width, width, 3, scale=0.1 / (3 * width) ** 0.5)
    second[: channels.free.start] = 0
    odd = oddities(channels)
    second[odd] = random.filled(_ODDITIES, width, 3, scale=1 / (3 * width) ** 0.5)
    # The difference of a pair is cut off below and above; the four of a group see what is above nought and below it.
    weight = _AUDIO / (2 * _GROUPS)
    second[channels.audio, :counters, 1] = np.tile([weight, -weight], counters // 2)
    bias = np.zeros(width, np.float16)
    bias[channels.audio] = -_AT_REST * weight * counters / 2
    encoder.conv2.weight, encoder.conv2.bias = second, bias
