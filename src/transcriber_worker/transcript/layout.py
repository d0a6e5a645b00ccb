"""Where subtitle text may be broken, and where it is broken best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from transcriber_worker.transcript.document import SegmentEntry
from transcriber_worker.transcript.wording import (
    display_width,
    ends_clause,
    ends_sentence,
    may_break,
    printable,
)

_LINE_COST = 1e6
"""Dwarfs the rest: fewer lines always win."""
_IMBALANCE_COST = 200.0
_CLAUSE_BREAK_COST = 15.0
_PLAIN_BREAK_COST = 40.0

_SLOWEST_S_PER_COLUMN = 0.25

_TimedText = tuple[str, float, float]


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of text that is never broken: a word, or a character of an unspaced script with its punctuation."""

    text: str
    spaced: bool
    """Whether a space stands before it when it does not begin a line."""
    start_s: float
    end_s: float
    width: int
    """Columns."""
    break_cost: float
    """What a break after it costs: little after punctuation."""


def partition(count: int, pieces: Callable[[int], Iterator[tuple[int, float]]]) -> list[tuple[int, int]]:
    """Cut 0..`count` into the consecutive pieces (begin, end) of least total cost. `pieces(begin)` yields the ends that
    a piece beginning there may have, each with its cost; at least `begin + 1`."""
    cost = [0.0] * (count + 1)
    end_of = [count] * (count + 1)
    for begin in reversed(range(count)):
        cost[begin], end_of[begin] = min((own + cost[end], end) for end, own in pieces(begin))
    result = []
    begin = 0
    while begin < count:
        result.append((begin, end_of[begin]))
        begin = end_of[begin]
    return result


def atoms(segment: SegmentEntry, until_s: float, max_cue_s: float) -> list[Atom]:
    """The segment's text with times, none later than `until_s`, where the channel's next segment begins: by its words
    where they spell the text and fit, else in proportion to its length."""
    until_s = max(until_s, segment.start)
    timed = [(printable(word.text), word.start, word.end) for word in segment.words or ()]
    text = printable(segment.text)
    if not _spells(timed, text) or any(start_s > until_s for _, start_s, _ in timed):
        # A few words in a long segment are one cue; they are not drawn out over all of it.
        slowest_s = max(display_width(text.strip()) * _SLOWEST_S_PER_COLUMN, max_cue_s)
        timed = [(text, segment.start, min(segment.end, segment.start + slowest_s))]
    text = "".join(run for run, _, _ in timed)
    times = _character_times(timed, segment.start, until_s)
    found = []
    for begin, end in _unbroken(text):
        spaced = begin > 0 and text[begin - 1].isspace()
        piece = text[begin:end]
        found.append(
            Atom(piece, spaced, times[begin][0], times[end - 1][1], display_width(piece), _cost_of_break_after(piece))
        )
    return found


def lines(cue: Sequence[Atom], max_width: int) -> list[str]:
    """The text of `cue` in as few lines of at most `max_width` columns as it takes, balanced, rather broken after
    punctuation. A wider atom stands alone."""
    fewest = line_count(cue, max_width)
    target = sum(atom.width + atom.spaced for atom in cue) / fewest

    def pieces(begin: int) -> Iterator[tuple[int, float]]:
        width = cue[begin].width
        for end in range(begin + 1, len(cue) + 1):
            break_cost = cue[end - 1].break_cost if end < len(cue) else 0.0
            yield end, _LINE_COST + _IMBALANCE_COST * ((width - target) / max_width) ** 2 + break_cost
            if end < len(cue):
                width += cue[end].width + cue[end].spaced
                if width > max_width:
                    return

    return [_text(cue[begin:end]) for begin, end in partition(len(cue), pieces)]


def line_count(cue: Sequence[Atom], max_width: int) -> int:
    """The fewest lines of at most `max_width` columns that hold `cue`."""
    filler = LineFiller(max_width)
    for atom in cue:
        filler.add(atom)
    return filler.lines


class LineFiller:
    """Counts lines as atoms are added: greedy filling never needs more lines than any other."""

    def __init__(self, max_width: int) -> None:
        self.lines = 0
        self._max_width = max_width
        self._width = 0

    def add(self, atom: Atom) -> None:
        width = self._width + atom.spaced + atom.width
        if self.lines and width <= self._max_width:
            self._width = width
        else:
            self.lines += 1
            self._width = atom.width


def _text(line: Sequence[Atom]) -> str:
    return "".join((" " if atom.spaced and index else "") + atom.text for index, atom in enumerate(line))


def _spells(timed: Sequence[_TimedText], text: str) -> bool:
    return "".join("".join(run for run, _, _ in timed).split()) == "".join(text.split())


def _cost_of_break_after(text: str) -> float:
    if ends_sentence(text):
        return 0.0
    return _CLAUSE_BREAK_COST if ends_clause(text) else _PLAIN_BREAK_COST


def _character_times(timed: Sequence[_TimedText], now_s: float, until_s: float) -> list[tuple[float, float]]:
    """When each character is said. Words whose times run backwards are pushed behind the word before them."""
    times: list[tuple[float, float]] = []
    for text, word_start_s, word_end_s in timed:
        start_s = min(max(word_start_s, now_s), until_s)
        end_s = now_s = min(max(word_end_s, start_s), until_s)
        lead = len(text) - len(text.lstrip())
        said = max(len(text.strip()), 1)
        step_s = (end_s - start_s) / said
        for index in range(len(text)):
            place = min(max(index - lead, 0), said - 1)
            times.append((start_s + place * step_s, start_s + (place + 1) * step_s))
    return times


def _unbroken(text: str) -> Iterator[tuple[int, int]]:
    """Offsets of the atoms of `text`."""
    begin = None
    for index, char in enumerate(text):
        if char.isspace():
            if begin is not None:
                yield begin, index
            begin = None
        elif begin is None:
            begin = index
        elif may_break(text[index - 1], char):
            yield begin, index
            begin = index
    if begin is not None:
        yield begin, len(text)
