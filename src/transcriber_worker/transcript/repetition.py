"""Repetition loops: a speech model that lost its way writes one phrase over and over. People repeat themselves too, so
the bounds are wide: what is kept wrongly is ugly, what is cut wrongly is lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transcriber_worker.domain.audio import Notice, Span, TranscriptWarning
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.transcript.flags import LOW_CONFIDENCE, NO_SPEECH_LIKELY, REPETITION, with_flag
from transcriber_worker.transcript.wording import Token, tokens

MAX_PHRASE_WORDS = 8
MIN_REPEATS = 4
MIN_LOOP_WORDS = 24
"""A loop holds at least so many words: "no, no, no, no, no" and a refrain sung four times do not."""
MIN_DOUBTFUL_LOOP_WORDS = 8
"""The same for equal segments in a row that the model itself doubts, such as "Thank you." over noise."""
MAX_LOOP_PAUSE_S = 2.0
"""Equal segments further apart are answers ("Okay." ... "Okay."), not a loop."""
_KEPT = 2


@dataclass(frozen=True, slots=True)
class _Cut:
    """Offsets in a text: the loop as it was, and the part of it to cut."""

    loop_start: int
    start: int
    end: int


def without_loops(segments: Sequence[Segment]) -> tuple[list[Segment], list[TranscriptWarning]]:
    """One channel's `segments`, in order of time and with their confidence flags, without loops: of a phrase repeated
    inside a segment two are kept, of equal segments in a row one; each flagged `repetition`, with a warning."""
    kept: list[Segment] = []
    warnings: list[TranscriptWarning] = []
    for equal in _equal_runs(segments):
        looping = _is_segment_loop(equal)
        if looping:
            span = Span(equal[0].start_s, max(segment.end_s for segment in equal))
            warnings.append(_warning(len(equal) - 1, "segments", span))
        for segment in [with_flag(equal[0], REPETITION)] if looping else equal:
            shorter, looped = _without_phrase_loops(segment)
            kept.append(shorter)
            if looped:
                removed = round(_word_count(segment.text) - _word_count(shorter.text))
                warnings.append(_warning(removed, "words", looped))
    return kept, warnings


def has_loop(text: str, least_words: float = MIN_LOOP_WORDS) -> bool:
    """Whether some phrase stands in `text` again and again, for `least_words` in a row or more."""
    found = tokens(text)
    return any(_loop_at(found, at, least_words) is not None for at in range(len(found)))


def _warning(count: int, what: str, span: Span) -> TranscriptWarning:
    return TranscriptWarning(Notice.REPETITION, f"a repetition loop was cut: {count} {what} removed", span)


def _word_count(text: str) -> float:
    return sum(token.words for token in tokens(text))


def _keys(text: str) -> list[str]:
    return [token.key for token in tokens(text)]


def _equal_runs(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    run: list[Segment] = []
    run_keys: list[str] = []
    for segment in segments:
        keys = _keys(segment.text)
        if run and not (keys == run_keys and segment.start_s - run[-1].end_s <= MAX_LOOP_PAUSE_S):
            yield run
            run = []
        run.append(segment)
        run_keys = keys
    if run:
        yield run


def _is_segment_loop(run: Sequence[Segment]) -> bool:
    doubted = all({LOW_CONFIDENCE, NO_SPEECH_LIKELY} & set(segment.flags) for segment in run)
    least_words = MIN_DOUBTFUL_LOOP_WORDS if doubted else MIN_LOOP_WORDS
    return len(run) >= MIN_REPEATS and _word_count(run[0].text) * len(run) >= least_words


def _without_phrase_loops(segment: Segment) -> tuple[Segment, Span | None]:
    cuts = _phrase_loops(segment.text)
    if not cuts:
        return segment, None
    words, span = _cut_words(segment)
    text = _cut_text(segment.text, cuts)
    return with_flag(replace(segment, text=text, words=words), REPETITION), span


def _phrase_loops(text: str) -> list[_Cut]:
    found = tokens(text)
    cuts: list[_Cut] = []
    at = 0
    while at < len(found):
        loop = _loop_at(found, at)
        if loop is None:
            at += 1
            continue
        period, length = loop
        # The model ran out of room in the middle of the phrase: that piece belongs to the loop as well.
        whole = length if at + length == len(found) else length - length % period
        end = found[at + whole].start if at + whole < len(found) else len(text)
        cuts.append(_Cut(found[at].start, found[at + _KEPT * period].start, end))
        at += whole
    return cuts


def _loop_at(found: Sequence[Token], at: int, least_words: float = MIN_LOOP_WORDS) -> tuple[int, int] | None:
    """Period and length, in tokens, of the loop that begins at `at`."""
    phrase_words = 0.0
    for period in range(1, (len(found) - at) // MIN_REPEATS + 1):
        phrase_words += found[at + period - 1].words
        if phrase_words > MAX_PHRASE_WORDS:
            return None
        length = period
        while at + length < len(found) and found[at + length].key == found[at + length - period].key:
            length += 1
        repeats = length // period
        if repeats >= MIN_REPEATS and repeats * phrase_words >= least_words:
            return period, length
    return None


def _cut_text(text: str, cuts: Sequence[_Cut]) -> str:
    kept, position = "", 0
    for cut in cuts:
        kept += text[position : cut.start]
        position = cut.end
    return (kept + text[position:]).rstrip()


def _cut_words(segment: Segment) -> tuple[tuple[Word, ...], Span]:
    """The words without the loops, and where the loops were: by the words where there are any."""
    text = "".join(word.text for word in segment.words)
    cuts = _phrase_loops(text)
    kept: list[Word] = []
    looped: list[Word] = []
    offset = 0
    for word in segment.words:
        first = offset + len(word.text) - len(word.text.lstrip())
        if not any(cut.start <= first < cut.end for cut in cuts):
            kept.append(word)
        if any(cut.loop_start <= first < cut.end for cut in cuts):
            looped.append(word)
        offset += len(word.text)
    if not looped:
        return segment.words, Span(segment.start_s, segment.end_s)
    return tuple(kept), Span(looped[0].start_s, max(word.end_s for word in looped))
