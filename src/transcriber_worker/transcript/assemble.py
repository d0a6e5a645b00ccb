"""What was heard in the windows becomes one transcript."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from transcriber_worker.domain.audio import MediaReport, Notice, Span, TranscriptWarning, Window
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow, Segment, Word
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.flags import LOW_CONFIDENCE, flagged
from transcriber_worker.transcript.merging import merged, weighted_mean
from transcriber_worker.transcript.repetition import without_loops
from transcriber_worker.transcript.wording import plain

MIN_LANGUAGE_PROBABILITY = 0.5
LOW_CONFIDENCE_SHARE = 0.5
"""Where at least this part of the transcribed time is doubted, the whole transcript carries a warning."""


@dataclass(frozen=True, slots=True)
class HeardPart:
    """One window's place and what was heard in it; without the window's samples, so that a file's parts stay small."""

    channel: int | None
    core: Span
    heard: HeardWindow

    @classmethod
    def of(cls, window: Window, heard: HeardWindow) -> "HeardPart":
        return cls(window.channel, window.core, heard)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that was heard; `probability` is None where it was given rather than detected."""

    code: str | None
    probability: float | None


NO_LANGUAGE = Language(None, None)


@dataclass(frozen=True, slots=True)
class Quality:
    """How far to trust the whole; `mean_logprob` is None where there is no figure."""

    mean_logprob: float | None
    low_confidence_share: float
    no_speech: bool


@dataclass(frozen=True, slots=True)
class Assembled:
    """A transcript before it is put into its document; segments in order of time, then of channel."""

    segments: tuple[Segment, ...]
    language: Language
    channel_languages: tuple[tuple[int, Language], ...]
    """One entry a channel where the channels' languages differ, else empty."""
    warnings: tuple[TranscriptWarning, ...]
    quality: Quality


def assemble(
    parts: Sequence[HeardPart], report: MediaReport, options: SpeechOptions, settings: TranscriptSettings
) -> Assembled:
    """Put `parts` (in any order) together: times within the file, loops cut, confidence flagged, fragments merged.
    Nothing that was heard is dropped but repetition loops."""
    parts = sorted(parts, key=lambda part: (part.core.start_s, _channel_order(part.channel)))
    segments: list[Segment] = []
    loop_warnings: list[TranscriptWarning] = []
    for channel in _channels(parts):
        heard = [s for part in parts if part.channel == channel for s in _placed(part, report.end_s)]
        heard.sort(key=lambda segment: (segment.start_s, segment.end_s))
        kept, warnings = without_loops([flagged(segment, settings) for segment in heard])
        segments += (_stripped(segment) for segment in merged(kept, settings.merge_gap_s))
        loop_warnings += warnings
    segments.sort(key=lambda segment: (segment.start_s, _channel_order(segment.channel)))
    quality = _quality(segments)
    hole_warnings = [warning for part in parts for warning in _hole_warnings(part.heard)]
    language, channel_languages = _languages(parts, options)
    own = [*sorted([*loop_warnings, *hole_warnings], key=_warning_order), *_whole_warnings(language, quality, report)]
    return Assembled(tuple(segments), language, channel_languages, (*report.warnings, *own), quality)


def _channel_order(channel: int | None) -> int:
    return -1 if channel is None else channel


def _channels(parts: Iterable[HeardPart]) -> list[int | None]:
    return sorted({part.channel for part in parts}, key=_channel_order)


def _warning_order(warning: TranscriptWarning) -> float:
    return warning.span.start_s if warning.span else math.inf


def _placed(part: HeardPart, end_s: float) -> Iterable[Segment]:
    """The part's segments that hold text, all times within the file. A time that is no number becomes the core's."""

    def within(start_s: float, stop_s: float) -> tuple[float, float]:
        start_s = start_s if math.isfinite(start_s) else part.core.start_s
        stop_s = stop_s if math.isfinite(stop_s) else part.core.end_s
        start_s = min(max(start_s, 0.0), end_s)
        return start_s, min(max(stop_s, start_s), end_s)

    for segment in part.heard.segments:
        if not plain(segment.text):
            continue
        start_s, stop_s = within(segment.start_s, segment.end_s)
        words = []
        for word in segment.words:
            word_start_s, word_stop_s = within(word.start_s, word.end_s)
            words.append(Word(word_start_s, word_stop_s, word.text, word.probability))
        yield replace(segment, start_s=start_s, end_s=stop_s, channel=part.channel, words=tuple(words))


def _stripped(segment: Segment) -> Segment:
    return replace(segment, text=segment.text.strip())


def _heard_s(part: HeardPart) -> float:
    durations_s = (segment.end_s - segment.start_s for segment in part.heard.segments if plain(segment.text))
    return sum(duration_s for duration_s in durations_s if math.isfinite(duration_s))


def _languages(parts: Sequence[HeardPart], options: SpeechOptions) -> tuple[Language, tuple[tuple[int, Language], ...]]:
    language = _language(parts, options)
    by_channel = [
        (channel, _language([part for part in parts if part.channel == channel], options))
        for channel in _channels(parts)
        if channel is not None
    ]
    differ = len({found.code for _, found in by_channel if found.code}) > 1
    return language, tuple(by_channel) if differ else ()


def _language(parts: Sequence[HeardPart], options: SpeechOptions) -> Language:
    """The language of most of what was heard, with its probability in the first window, where it was detected."""
    heard = [part for part in parts if any(plain(segment.text) for segment in part.heard.segments)]
    if not heard:
        return NO_LANGUAGE
    given = options.known_language
    if given is not None:
        return Language(given, None)
    seconds: dict[str, float] = {}
    probability: dict[str, float] = {}
    for part in heard:
        code = part.heard.language
        if code is not None:
            seconds[code] = seconds.get(code, 0.0) + _heard_s(part)
            probability.setdefault(code, part.heard.language_probability)
    if not seconds:
        return NO_LANGUAGE
    most = max(seconds, key=lambda code: seconds[code])
    return Language(most, probability[most])


def _hole_warnings(heard: HeardWindow) -> Iterable[TranscriptWarning]:
    for span in heard.lost:
        message = f"{span.duration_s:.1f} s could not be transcribed: every attempt at them failed"
        yield TranscriptWarning(Notice.NOT_TRANSCRIBED, message, span)
    for span in heard.wordless:
        message = f"{span.duration_s:.1f} s sound like speech, and no words were heard in them"
        yield TranscriptWarning(Notice.SPEECH_WITHOUT_WORDS, message, span)


def _quality(segments: Sequence[Segment]) -> Quality:
    def share(segment: Segment) -> tuple[float, float]:
        return float(LOW_CONFIDENCE in segment.flags), segment.end_s - segment.start_s

    mean_logprob = weighted_mean((segment.avg_logprob, segment.end_s - segment.start_s) for segment in segments)
    return Quality(mean_logprob, weighted_mean(map(share, segments)) or 0.0, not segments)


def _whole_warnings(language: Language, quality: Quality, report: MediaReport) -> Iterable[TranscriptWarning]:
    if quality.no_speech:
        found = f"no words were heard in {report.speech_s:.1f} s of possible speech"
        message = found if report.speech_s > 0 else "no speech was found"
        yield TranscriptWarning(Notice.NO_SPEECH, message)
    if quality.low_confidence_share >= LOW_CONFIDENCE_SHARE:
        message = f"{quality.low_confidence_share:.0%} of the transcribed time is of low confidence"
        yield TranscriptWarning(Notice.LOW_CONFIDENCE, message)
    if language.probability is not None and not language.probability >= MIN_LANGUAGE_PROBABILITY:
        taken_for = f"{language.code!r} (p = {language.probability:.2f})"
        message = f"the language, taken for {taken_for}, is uncertain: name it in the request"
        yield TranscriptWarning(Notice.LANGUAGE_UNCERTAIN, message)
