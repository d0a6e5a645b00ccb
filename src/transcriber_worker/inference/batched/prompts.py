"""The text before every window of a file: its prompt and hotwords, brought to one of a few lengths, so that files with
different ones share batches. Rows of a batch must have prompts of the same length, to the token."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from transcriber_worker.inference.batched.echo import Echo
from transcriber_worker.inference.batched.prose import PROSE
from transcriber_worker.inference.options import (
    MAX_HOTWORD_TOKENS,
    MAX_PROMPT_TOKENS,
    as_hotwords,
    check_prompt_length,
    checked_tokens,
)
from transcriber_worker.transcript.wording import ends_clause, ends_sentence

LENGTHS = (32, 64, 128, MAX_PROMPT_TOKENS)
"""In tokens. Few, so that batches fill; each about twice the one before, so that little is read for nothing."""
LEAST_PROSE_TOKENS = 8
"""Less than this would be no prose but the shred of a sentence."""
_LONGEST_PROSE_TOKENS = (
    max(longer - shorter for shorter, longer in zip((0, *LENGTHS), LENGTHS, strict=False)) + LEAST_PROSE_TOKENS
)
_OTHERWISE = "en"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens that stand before every window of a file."""

    tokens: tuple[int, ...]
    echoed: Callable[[str], bool]
    """Whether a text that was heard is only what stood before, said again."""


NO_PROMPT = Prompt((), lambda _: False)


class PromptBook:
    """Makes prompts of one model. Thread-safe.

    `encode`: the tokens of a text with a space before it; `count_text`: how many of some tokens are text.
    """

    def __init__(self, encode: Callable[[str], tuple[int, ...]], count_text: Callable[[Sequence[int]], int]) -> None:
        self._encode = encode
        self._count_text = count_text
        self._prose = {language: _by_length(text, encode) for language, text in PROSE.items()}

    def fitted(self, prompt: str | None, hotwords: Sequence[str], language: str | None) -> Prompt:
        """The file's own text, hotwords first as faster-whisper has them, with prose before it up to the next of
        `LENGTHS`; at its own length where no prose fits. `language`: of the text that will be written, None where it
        is not known. Raises `RejectJob` naming what is too long or holds control tokens."""
        listed = as_hotwords(hotwords)
        own = self._checked("hotwords", listed, MAX_HOTWORD_TOKENS) + self._checked("prompt", prompt, MAX_PROMPT_TOKENS)
        check_prompt_length("prompt and hotwords together", len(own), MAX_PROMPT_TOKENS)
        if not own:
            return NO_PROMPT
        prose = self._prose_before(len(own), language)
        said = tuple(text for text in (prose.text, listed, prompt) if text)
        return Prompt(prose.tokens + own, Echo(said).echoed)

    def _checked(self, name: str, text: str | None, limit: int) -> tuple[int, ...]:
        return checked_tokens(self._encode, self._count_text, name, text, limit)

    def _prose_before(self, tokens: int, language: str | None) -> "_Prose":
        by_length = self._prose[language if language in self._prose else _OTHERWISE]
        for length in LENGTHS:
            if length == tokens:
                break
            if length - tokens in by_length:
                return by_length[length - tokens]
        return _NO_PROSE


@dataclass(frozen=True, slots=True)
class _Prose:
    """A piece of prose: from the beginning of a word to the end of a sentence."""

    tokens: tuple[int, ...]
    text: str


_NO_PROSE = _Prose((), "")


def _by_length(text: str, encode: Callable[[str], tuple[int, ...]]) -> dict[int, _Prose]:
    """A piece for every number of tokens that can be had; one that begins with a sentence or clause where there are
    several. Text before an utterance may begin anywhere, as it does where a transcript scrolls out of sight, but has to
    end as text ends."""
    best: dict[int, tuple[int, _Prose]] = {}
    for words in _to_each_sentence_end(text):
        # Word by word: a word's tokens do not depend on its neighbours', and no piece may begin inside of one.
        encoded = [encode(word) for word in words]
        lengths = accumulate(len(tokens) for tokens in reversed(encoded))
        for first, length in zip(range(len(words) - 1, -1, -1), lengths, strict=True):
            if not LEAST_PROSE_TOKENS <= length <= _LONGEST_PROSE_TOKENS:
                continue
            before = words[first - 1]
            roughness = 0 if ends_sentence(before) else 1 if ends_clause(before) else 2
            if length not in best or roughness < best[length][0]:
                piece = _Prose(tuple(token for tokens in encoded[first:] for token in tokens), " ".join(words[first:]))
                best[length] = roughness, piece
    return {length: piece for length, (_, piece) in best.items()}


def _to_each_sentence_end(text: str) -> Iterator[list[str]]:
    """All words of the text, in turn so that each sentence is the last."""
    words = text.split()
    for end in range(len(words), 0, -1):
        if ends_sentence(words[end - 1]):
            yield words[end:] + words[:end]
