"""Whether to believe what the model said of a row. Pure."""

import math
from collections.abc import Sequence
from enum import Enum, auto

from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.rows import Decoded, Ranking
from transcriber_worker.transcript.repetition import has_loop

MAX_COMPRESSION = 2.4
MIN_LOGPROB = -1.0
NO_SPEECH = 0.6
"""The bounds of Whisper's own temperature fallback."""
LOOP_WORDS = 8
"""A phrase said four times and more, of so many words in all, is worth hearing again: what was really said so comes
back so."""

ONE_LANGUAGE = 0.95
"""Measured on base: half a minute in one language has 0.97 and more; where two meet, it has 0.7 to 0.9, or the one that
comes later got no words."""
LEAST_CERTAINTY = 0.3
"""Measured on base: words written over silence, noise and hum reach 0.27, words cut out of sentences begin at 0.33."""
BLINK_S = 0.4
LEAST_CERTAINTY_IN_A_BLINK = 0.4
NO_SPEECH_IN_A_BLINK = 0.5
"""Of a third of a second cut out of speech at random the model makes any word."""
_LEAST = 1e-6


class Verdict(Enum):
    """What to make of a decoded row."""

    GOOD = auto()
    SILENCE = auto()
    """The model is sure that nobody speaks; what it wrote nevertheless counts for nothing."""
    ECHO = auto()
    """It is the text before, said again."""
    LOOP = auto()
    """The model lost its way and says one thing over and over."""
    CUT_SHORT = auto()
    """Speech got no words, and it was padded to less than the model is used to."""
    TWO_LANGUAGES = auto()
    """It seems to be in more than one."""
    DOUBTFUL = auto()
    """The model doubts it itself."""


def judge(decoded: Decoded, *, echo: bool) -> Verdict:
    """`echo`: whether the text is the one that stood before."""
    if not math.isfinite(decoded.avg_logprob):
        return Verdict.DOUBTFUL
    unlikely = decoded.avg_logprob < MIN_LOGPROB
    if decoded.no_speech_prob > NO_SPEECH and unlikely:
        return Verdict.SILENCE
    if echo:
        return Verdict.ECHO
    if decoded.compression_ratio > MAX_COMPRESSION or has_loop(decoded.text, LOOP_WORDS):
        return Verdict.LOOP
    return Verdict.DOUBTFUL if unlikely else Verdict.GOOD


def unsure_of_language(ranking: Ranking) -> bool:
    """Whether more than one language may be spoken in a row; unknown where none was looked for."""
    return bool(ranking) and max(probability for _, probability in ranking) < ONE_LANGUAGE


def fit_for_a_hole(verdict: Verdict, decoded: Decoded) -> bool:
    """Whether to believe words found where there were none at first. Written with timestamps, words over noise have
    figures as good as any, but for this one."""
    return verdict is Verdict.GOOD and decoded.no_speech_prob <= NO_SPEECH


def invented(words: Sequence[Word], decoded: Decoded, heard_s: float) -> bool:
    """Whether these are words that a model writes where next to nothing is to be heard, such as "you" and "Thank you."
    `heard_s`: how long it listened. Two signs are needed, so that a short word really said stays."""
    if not any(character.isalnum() for word in words for character in word.text):
        return True
    certainty = _mean_certainty(words)
    if decoded.no_speech_prob > NO_SPEECH:
        return certainty < LEAST_CERTAINTY
    if heard_s < BLINK_S:
        return certainty < LEAST_CERTAINTY_IN_A_BLINK or decoded.no_speech_prob > NO_SPEECH_IN_A_BLINK
    return False


def _mean_certainty(words: Sequence[Word]) -> float:
    """The geometric mean of the words' probabilities: one sure word among doubtful ones does not help."""
    return math.exp(sum(math.log(max(word.probability, _LEAST)) for word in words) / len(words))
