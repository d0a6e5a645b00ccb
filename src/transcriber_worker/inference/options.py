"""What a model can be asked for."""

from collections.abc import Callable, Sequence

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import SpeechOptions, Task

MAX_PROMPT_TOKENS = 223
"""Whisper reads at most half of its 448 tokens of context as previous text; faster-whisper drops what comes before."""

MAX_HOTWORD_TOKENS = 96
"""Hotwords stand beside up to 223 tokens of previous text in every window. More than this leaves under 125 of the 448
tokens for what is said in 30 s, and the end of fast speech would be cut off without a word. (faster-whisper itself
cuts the list at 223 tokens, silently.)"""


def check_languages(options: SpeechOptions, known: Sequence[str]) -> None:
    """Raise `RejectJob` where a language was named that is not among `known`."""
    wanted = [*options.languages, *([options.language] if options.language else [])]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise RejectJob(
            Reason.LANGUAGE_NOT_SUPPORTED,
            f"the model does not know the language {', '.join(map(repr, unknown))}; it knows: {', '.join(known)}",
        )


def check_task(options: SpeechOptions, model: str, *, translates: bool) -> None:
    """Raise `RejectJob` where a translation is asked of a model that would quietly transcribe instead."""
    if options.task is Task.TRANSLATE and not translates:
        raise RejectJob(
            Reason.INVALID_REQUEST,
            f"the model {model} was not trained to translate: use task transcribe, or a worker with a multilingual "
            "model such as large-v3",
        )


def check_prompt_length(name: str, tokens: int, limit: int) -> None:
    """Raise `RejectJob` where the text named `name` takes more tokens than fit. Its words stay out of the message,
    which goes into logs and events."""
    if tokens > limit:
        raise RejectJob(
            Reason.PROMPT_TOO_LONG,
            f"{name}: {tokens} tokens, at most {limit} fit (a token is about three quarters of an English word): "
            "shorten it",
        )


def checked_tokens(
    encode: Callable[[str], tuple[int, ...]],
    count_text: Callable[[Sequence[int]], int],
    name: str,
    text: str | None,
    limit: int,
) -> tuple[int, ...]:
    """The tokens of a text that is put before the audio, none for an empty one. `count_text`: how many of some tokens
    are text. Raises `RejectJob` by `name` where it is over `limit` or holds control tokens."""
    if text is None or not text.strip():
        return ()
    tokens = encode(text)
    check_prompt_length(name, len(tokens), limit)
    if count_text(tokens) < len(tokens):
        raise RejectJob(Reason.INVALID_REQUEST, f"{name}: contains one of the model's control tokens, such as <|en|>")
    return tokens


def as_hotwords(terms: Sequence[str]) -> str | None:
    """A list of terms as both engines word it."""
    return ", ".join(terms) or None


def most_probable(ranking: Sequence[tuple[str, float]], allowed: Sequence[str]) -> tuple[str, float]:
    """The best-ranked language among `allowed`, with its probability among all. `ranking`: most probable first."""
    return next((language, p) for language, p in ranking if language in allowed)
