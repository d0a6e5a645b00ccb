"""The decoder: random layers, and a last one that goes on with the text or ends it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transcriber_worker.inference.random_model.encoder_weights import audio_level, oddities, waves
from transcriber_worker.inference.random_model.layers import Layers
from transcriber_worker.inference.random_model.plan import (
    STEPS,
    STYLES,
    SYNONYMS,
    TEXT_POSITIONS,
    TOKENS_PER_NUMBER,
    TOKENS_PER_S,
    WINDOW_S,
    WORDS,
    Channels,
)
from transcriber_worker.inference.random_model.randomness import Randomness, Values
from transcriber_worker.inference.random_model.shapes import HEAD_WIDTH, Shape
from transcriber_worker.inference.random_model.vocabulary import Vocabulary

_MIDDLE = 90.0
"""Where texts mostly end: progress counts from here, since the closer it is to nought, the more exactly it is told."""
_PROGRESS = 40.0
"""Words that one unit of it stands for."""
_END = 8.0 / 224
"""What a word more adds to the channel that ends the text."""
_END_LOGIT = 3.0
"""What a word more makes the end more probable by."""
_END_SIZE = 16.0
"""Of the end token in that channel."""
_SAMPLING = 90.0
"""Makes one state stand out from all others."""
_LOOKING = {16: 1.2, 12: 1.5}
"""How sharply words look for their place, by the number of waves."""
_SLOWEST = 0.9
"""Times the tokens for each second have the slowest speakers; others get to the end of the audio before their text
does. Speech that was left out would be listened to again."""
_NEXT = 6.0
"""Size of the next word beside all else."""
_LOGIT = 40.0
"""Of a word that is just what is wanted; the next one has only its step's part."""
_NEXT_LOGIT = 34.0
"""Of the next word, as it comes."""
_STYLE_LOGIT = 2.0
_SHARED = 0.8
"""Of a word's direction is its step's."""
_STEEPNESS, _THRESHOLD = 16.0, 0.45
"""When a step is recognised; other words have up to 0.3 of its direction."""
_POSITION = 0.1


@dataclass(frozen=True, slots=True)
class _Text:
    """Tokens of the text, and the directions of its steps."""

    vocabulary: Vocabulary
    steps: Values
    """(steps, free channels)."""
    words: Any
    """Tokens, (steps, synonyms)."""


def fill_decoder(decoder: Any, shape: Shape, vocabulary: Vocabulary, random: Randomness) -> None:
    """`decoder`: of a `WhisperSpec`."""
    width, channels = shape.width, Channels(shape.width)
    words = np.array(vocabulary.words(WORDS)).reshape(SYNONYMS, STEPS).T
    steps = random.normal(STEPS, channels.count_free)
    steps -= np.mean(steps, axis=1, keepdims=True)  # which the norm takes off what tells the end
    steps *= channels.count_free**0.5 / np.linalg.norm(steps, axis=1, keepdims=True)
    text = _Text(vocabulary, steps, words)
    decoder.embeddings.weight = embeddings = _embeddings(text, channels, random)
    decoder.projection.weight = embeddings
    positions = random.filled(TEXT_POSITIONS, width, scale=_POSITION)
    positions[:, : channels.free.start] = 0
    decoder.position_encodings.encodings = positions
    layers = Layers(shape, random, sublayers=3 * shape.decoder_layers)
    for number, layer in enumerate(decoder.layer):
        layers.attention(layer.self_attention, [3 * width, width])
        layers.attention(layer.attention, [width, 2 * width, width])
        layers.feed_forward(layer.ffn)
        for head in (head for at, head in shape.alignment_heads if at == number):
            _look_where_the_text_is(layer.attention, head, channels)
    last = decoder.layer[-1]
    _count_audio(last.attention, channels)
    _sample_a_state(last.attention, channels)
    _go_on(last.ffn, text, embeddings, channels)
    _fill_norm(decoder.layer_norm, channels)


def _embeddings(text: _Text, channels: Channels, random: Randomness) -> Any:
    found = random.filled(len(text.vocabulary.tokens), channels.width, scale=1.0)
    found[:, : channels.free.start] = 0
    found[text.vocabulary.id("endoftext"), channels.end] = _END_SIZE
    done = np.arange(1, STEPS + 1, dtype=np.float32)
    for words in text.words.T:
        own = random.normal(STEPS, channels.count_free)
        own -= text.steps * (np.sum(own * text.steps, axis=1, keepdims=True) / channels.count_free)
        found[words, channels.free] = _SHARED * text.steps + (1 - _SHARED**2) ** 0.5 * own
        found[words, channels.style] = random.normal(STEPS, STYLES)
        found[words, channels.progress] = (done - _MIDDLE) / _PROGRESS
        found[words, channels.time] = _places(channels, done)
    first = _first(text.vocabulary)
    found[first, channels.progress] = -_MIDDLE / _PROGRESS
    found[first, channels.time] = _places(channels, np.zeros(1, np.float32))
    # The mean over all channels is taken off before progress is read.
    told = np.concatenate([text.words.ravel(), first])
    found[told, channels.free] -= np.sum(found[told], axis=1, dtype=np.float32, keepdims=True) / channels.count_free
    return found


def _first(vocabulary: Vocabulary) -> list[int]:
    """Tokens that the text may begin after."""
    return [vocabulary.id("notimestamps"), vocabulary.id("0.00")]


def _places(channels: Channels, done: Values) -> Values:
    """Where in the audio a text of so many words has come to."""
    return waves(channels, np.minimum(done / (_SLOWEST * TOKENS_PER_S * WINDOW_S), 1.0))


def _look_where_the_text_is(attention: Any, head: int, channels: Channels) -> None:
    query, both, _ = attention.linear
    first = head * HEAD_WIDTH
    query.weight[first : first + HEAD_WIDTH] = both.weight[first : first + HEAD_WIDTH] = 0
    for place in range(2 * channels.waves):
        query.weight[first + place, place] = HEAD_WIDTH**0.5 * _LOOKING[channels.waves]
        both.weight[first + place, place] = 1


def _count_audio(attention: Any, channels: Channels) -> None:
    """The first head: an average over all states."""
    query, both, out = attention.linear
    query.weight[:HEAD_WIDTH] = 0
    values = both.weight[channels.width :]
    values[:HEAD_WIDTH] = 0
    values[0, channels.audio] = 1
    out.weight[:, :HEAD_WIDTH] = 0
    out.weight[channels.end, 0] = -_END * TOKENS_PER_S * WINDOW_S / audio_level(channels)


def _sample_a_state(attention: Any, channels: Channels) -> None:
    """The second head: the number and the style of one state."""
    query, both, out = attention.linear
    first, odd = HEAD_WIDTH, oddities(channels)
    count = odd.stop - odd.start
    keys, values = both.weight[: channels.width], both.weight[channels.width :]
    query.weight[first : first + HEAD_WIDTH] = keys[first : first + HEAD_WIDTH] = values[first : first + HEAD_WIDTH] = 0
    out.weight[:, first : first + HEAD_WIDTH] = 0
    query.bias[first : first + count] = _SAMPLING  # what is positive only where there is audio
    keys[first : first + count, odd] = np.eye(count)
    values[first, channels.number] = 1
    out.weight[channels.end, first] = -_END * TOKENS_PER_NUMBER
    values[first + 1 : first + 1 + STYLES, channels.style] = np.eye(STYLES)
    out.weight[channels.style, first + 1 : first + 1 + STYLES] = np.eye(STYLES) / 2


def _go_on(ffn: Any, text: _Text, embeddings: Any, channels: Channels) -> None:
    """The last layer: from a word to those of the next step, and from progress to the end."""
    token, free = text.vocabulary.id, channels.free
    leads = [(text.steps[step], text.steps[min(step + 1, STEPS - 1)]) for step in range(STEPS)]
    leads += [(embeddings[first, free], text.steps[0]) for first in _first(text.vocabulary)]
    leads += [(embeddings[token(task), free], embeddings[token("0.00"), free]) for task in ("transcribe", "translate")]
    leads.append((embeddings[token("startoftranscript"), free], embeddings[token("en"), free]))
    into, out = ffn.linear_0, ffn.linear_1
    into.weight[: len(leads) + 2] = out.weight[:, : len(leads) + 2] = 0
    active = _STEEPNESS * (_SHARED - _THRESHOLD)
    for neuron, (seen, wanted) in enumerate(leads):
        into.weight[neuron, free] = seen * (_STEEPNESS / channels.count_free)
        into.bias[neuron] = -_STEEPNESS * _THRESHOLD
        out.weight[free, neuron] = wanted * (_NEXT / active)
    # gelu(x) - gelu(-x) is x.
    for neuron, sign in ((len(leads), 1), (len(leads) + 1, -1)):
        into.weight[neuron, channels.progress] = sign
        out.weight[channels.end, neuron] = sign * _END * _PROGRESS
    out.bias[channels.end] = _END * _MIDDLE


def _fill_norm(norm: Any, channels: Channels) -> None:
    """What the logits are made of: direction, style, and whether to end."""
    gamma, beta = np.zeros(channels.width, np.float16), np.zeros(channels.width, np.float16)
    gamma[channels.free] = _LOGIT / (channels.width * channels.count_free) ** 0.5
    gamma[channels.style] = _STYLE_LOGIT
    gamma[channels.end] = _END_LOGIT / _END * _NEXT / _END_SIZE
    beta[channels.end] = _NEXT_LOGIT / _END_SIZE
    norm.gamma, norm.beta = gamma, beta
