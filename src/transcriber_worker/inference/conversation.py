"""What is remembered of one file from window to window: its language and its last words, per channel."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow, Segment
from transcriber_worker.inference.dispatcher import Check
from transcriber_worker.inference.options import MAX_PROMPT_TOKENS
from transcriber_worker.inference.seams import NO_SEAM, Seam, trimmed
from transcriber_worker.inference.speech import (
    Phrase,
    has_context,
    on_file_timeline,
    speech_samples,
    stretches,
)
from transcriber_worker.inference.whisper import Asked, Whisper

_RESET_ABOVE_TEMPERATURE = 0.5
"""faster-whisper forgets the text so far after a passage that took a higher temperature to decode."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """What is known of one channel so far."""

    language: str | None
    probability: float
    previous: tuple[int, ...]
    """The last tokens, as faster-whisper would still know them had it heard the whole file at once."""
    seam: Seam = NO_SEAM
    """With the window before."""


class Conversation:
    """One file's conversation with the model. Not thread-safe: the dispatcher never overlaps one file's windows.

    `prompt`: the tokens of the text that the file begins with. It scrolls out as text follows, as in faster-whisper;
    `hotwords` stay beside every passage.
    """

    def __init__(self, whisper: Whisper, options: SpeechOptions, prompt: tuple[int, ...], hotwords: str | None) -> None:
        self._whisper = whisper
        self._options = options
        self._hotwords = hotwords
        language = options.known_language
        self._unheard = _Channel(language, 1.0 if language else 0.0, prompt)
        self._channels: dict[int | None, _Channel] = {}

    def hear(self, window: Window, check: Check) -> HeardWindow:
        """Transcribe one window; what it teaches is kept only once all of it was heard."""
        known = self._channels.get(window.channel, self._unheard)
        speech = stretches(window)
        if not speech:
            return HeardWindow((), known.language, known.probability)
        cut, seam = has_context(window), NO_SEAM
        asked = Asked(
            language=known.language,
            languages=self._options.languages,
            task=self._options.task,
            word_timestamps=self._options.word_timestamps or cut,
            previous=known.previous,
            hotwords=self._hotwords,
            mixed=self._options.mixed,
        )
        answer = self._whisper.transcribe(speech_samples(window, speech), speech, asked)
        phrases = []
        for phrase in answer.phrases:
            check()
            phrases.append(phrase)
        language, probability = answer.language, answer.language_probability
        if known.language is not None:
            language, probability = known.language, known.probability
        segments = [on_file_timeline(phrase.segment, window) for phrase in phrases]
        if cut:
            # The carried text is trimmed too: told of words beyond the cut, the model would go on after them and leave
            # them out of the next window, whose words they are.
            segments, seam = trimmed(segments, window, known.seam)
            previous = carried(known.previous, ((self._whisper.encode(s.text), s.temperature) for s in segments))
        else:
            previous = carried(known.previous, ((p.tokens, p.segment.temperature) for p in phrases))
        self._channels[window.channel] = _Channel(language, probability, previous, seam)
        return HeardWindow(self._as_asked(segments), language, probability, self._text_tokens(phrases))

    def _as_asked(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        if self._options.word_timestamps:
            return tuple(segments)
        return tuple(replace(segment, words=()) for segment in segments)

    def _text_tokens(self, phrases: Iterable[Phrase]) -> int:
        return sum(self._whisper.count_text(phrase.tokens) for phrase in phrases)


def carried(previous: tuple[int, ...], passages: Iterable[tuple[tuple[int, ...], float]]) -> tuple[int, ...]:
    """The text before the next window: what faster-whisper itself would still remember. `passages`: tokens and the
    temperature they were decoded at."""
    for tokens, temperature in passages:
        previous = () if temperature > _RESET_ABOVE_TEMPERATURE else previous + tokens
    return previous[-MAX_PROMPT_TOKENS:]
