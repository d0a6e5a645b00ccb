"""A model that hears noise or music writes what stood before, once more: prompt, hotwords, or the prose that brought
them to length. Pure."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from transcriber_worker.transcript.wording import tokens

MIN_SHARE = 0.7
"""Of the words heard, in runs that stood before in this order. Speech that only uses some terms stays far below."""
SAME_SPEECH = 0.5
"""Of the letters of two texts, in this order in both."""


class Echo:
    """What stood before the windows of a file."""

    def __init__(self, said: Sequence[str]) -> None:
        """`said`: the texts, in order."""
        keys = _keys(" ".join(said))
        self._words = frozenset(keys)
        self._pairs = frozenset(pairwise(keys))

    def echoed(self, text: str) -> bool:
        """Whether `text` is only what stood before, or nearly. A single word or name may as well have been said: see
        `same_speech`."""
        keys = _keys(text)
        if len(keys) == 1:
            return keys[0] in self._words
        known = [pair in self._pairs for pair in pairwise(keys)]
        covered = sum(before or after for before, after in pairwise([False, *known, False]))
        return bool(keys) and covered >= MIN_SHARE * len(keys)


def same_speech(prompted: str, unprompted: str) -> bool:
    """Whether two texts, heard with and without a prompt, are the same utterance: an echo has nothing in common with
    the sound, but a name that was really said is spelled nearly so without its hotword."""
    first, second = "".join(_keys(prompted)), "".join(_keys(unprompted))
    return bool(first and second) and SequenceMatcher(None, first, second, autojunk=False).ratio() >= SAME_SPEECH


def _keys(text: str) -> list[str]:
    return [token.key for token in tokens(text)]
