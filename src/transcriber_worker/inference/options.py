"""What a model can be asked for."""

from collections.abc import Sequence

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import SpeechOptions

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


def check_prompt_length(name: str, tokens: int, limit: int) -> None:
    """Raise `RejectJob` where the text named `name` takes more tokens than fit. Its words stay out of the message,
    which goes into logs and events."""
    if tokens > limit:
        raise RejectJob(
            Reason.PROMPT_TOO_LONG,
            f"{name}: {tokens} tokens, at most {limit} fit (a token is about three quarters of an English word): "
            "shorten it",
        )


def most_probable(ranking: Sequence[tuple[str, float]], allowed: Sequence[str]) -> tuple[str, float]:
    """The best-ranked language among `allowed`, with its probability among all. `ranking`: most probable first."""
    return next((language, p) for language, p in ranking if language in allowed)
