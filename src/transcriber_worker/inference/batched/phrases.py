"""Words into segments: at the ends of sentences, at pauses, and before they grow too long to read. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.batched.rows import Decoded
from transcriber_worker.transcript.wording import display_width, ends_clause, ends_sentence, is_unspaced

PAUSE_S = 1.0
"""A silence of this length ends a segment, whatever the text says."""
MAX_SEGMENT_S = 20.0
MAX_SEGMENT_COLUMNS = 200
"""Bounds of a segment, those of `transcript.merging`: what is cut here because of them is not put together there."""
_LEAST_PART = 0.3
"""A sentence that is too long is cut no nearer to its beginning than this part of the bound."""
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "st", "prof", "gen", "col", "capt", "rev", "hr", "fr", "sr", "sra"))


@dataclass(frozen=True, slots=True)
class Said:
    """Words of one decoded row, on the file's timeline."""

    words: tuple[Word, ...]
    row: Decoded


def segments(said: Iterable[Said], *, channel: int | None, mixed: bool) -> tuple[Segment, ...]:
    """The segments of a window, in order, their `words` with them and their figures those of their rows. `said`: in
    order of time. `mixed`: whether to tell each one's language."""
    return tuple(
        Segment(
            start_s=words[0].start_s,
            end_s=words[-1].end_s,
            text="".join(word.text for word in words),
            channel=channel,
            words=tuple(words),
            avg_logprob=one.row.avg_logprob,
            no_speech_prob=one.row.no_speech_prob,
            compression_ratio=one.row.compression_ratio,
            temperature=one.row.recipe.temperature,
            language=one.row.language if mixed else None,
        )
        for one in said
        for sentence in _sentences(one.words)
        for words in _bounded(sentence)
    )


def _sentences(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    start = 0
    for at in range(1, len(words)):
        if _ends(words[at - 1], words[at]):
            yield words[start:at]
            start = at
    if start < len(words):
        yield words[start:]


def _ends(word: Word, behind: Word) -> bool:
    if behind.start_s - word.end_s >= PAUSE_S:
        return True
    return ends_sentence(word.text) and not _goes_on(word.text.strip(), behind.text)


def _goes_on(text: str, behind: str) -> bool:
    """Whether the full stop may be another one than a sentence's: "Mr. Smith", "J. F. Kennedy", "3." before "5", "the
    U.S. is", and what has no space behind it, unless its script has none."""
    if not (behind[:1].isspace() or is_unspaced(text[-1]) or is_unspaced(behind[:1] or " ")):
        return True
    if not text.endswith((".", "…")):
        return False
    stem, follows = text.rstrip(".…"), behind.strip()[:1]
    initial = len(stem) == 1 and stem.isalpha() and stem != "I"
    return initial or stem.casefold() in _TITLES or follows.islower() or (stem.isdigit() and follows.isdigit())


def _bounded(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """The sentence, cut where it is too long: behind a comma where there is one, else at the longest pause."""
    while (fit := _fitting(words)) < len(words):
        cut = _best_cut(words, fit)
        yield words[:cut]
        words = words[cut:]
    yield words


def _fitting(words: Sequence[Word]) -> int:
    """How many of the words, one at least, a segment can hold."""
    columns = 0
    for at, word in enumerate(words):
        columns += display_width(word.text)
        if at and (columns > MAX_SEGMENT_COLUMNS or word.end_s - words[0].start_s > MAX_SEGMENT_S):
            return at
    return len(words)


def _best_cut(words: Sequence[Word], fit: int) -> int:
    cuts = range(max(1, round(_LEAST_PART * fit)), fit + 1)

    def worth(cut: int) -> tuple[bool, float, int]:
        pause_s = words[cut].start_s - words[cut - 1].end_s
        return ends_clause(words[cut - 1].text), pause_s, cut

    spaced = [cut for cut in cuts if words[cut].text[:1].isspace() or is_unspaced(words[cut].text[:1] or " ")]
    return max(spaced or cuts, key=worth)
