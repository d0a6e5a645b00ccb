"""Word error rate, over a plain normalisation (lower case, no punctuation, straight quotes), and words left out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_STRAIGHT = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": " ", "—": " ", "-": " "})
_NOT_A_WORD = re.compile(r"[^\w\s']")

_Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Errors:
    """Word errors against a reference of `words` words; they add up over files."""

    words: int
    edits: int

    @property
    def rate(self) -> float:
        return self.edits / self.words if self.words else float(self.edits > 0)

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.words + other.words, self.edits + other.edits)


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared."""
    plain = _NOT_A_WORD.sub(" ", text.lower().translate(_STRAIGHT))
    return [word for word in (word.strip("'") for word in plain.split()) if word]


@lru_cache(maxsize=256)  # a benchmark hears the same words many times
def word_errors(reference: str, heard: str) -> Errors:
    """Substitutions, deletions and insertions that turn the reference into what was heard."""
    expected = words_of(reference)
    return Errors(len(expected), int(_edits_of_beginnings(expected, words_of(heard))[-1]))


def wer(reference: str, heard: str) -> float:
    """Word error rate: 0 is perfect; insertions can take it over 1."""
    return word_errors(reference, heard).rate


@lru_cache(maxsize=256)
def missing_run(reference: str, heard: str) -> tuple[str, ...]:
    """The longest run of reference words of which nothing was heard, as they are compared: the longest that any of the
    alignments with the fewest edits leaves out (of equals the first). Takes memory for words times words."""
    expected, found = words_of(reference), words_of(heard)
    one, other = _numbered(expected, found)
    # Edits from every place on to the end: an alignment of the reversed texts, read backwards.
    onward = np.stack(list(_rows(one[::-1], other[::-1])))[::-1, ::-1]
    fewest = onward[0, 0]
    run = np.zeros(len(found) + 1, np.int32)
    best, end = 0, 0
    above: _Counts | None = None
    for i, row in enumerate(_rows(one, other)):
        if above is not None:
            run = np.where(row == above + 1, run + 1, 0)
            longest = int(np.max(run, where=row + onward[i] == fewest, initial=0))
            if longest > best:
                best, end = longest, i
        above = row
    return tuple(expected[end - best : end])


def best_beginning(reference: str, heard: str) -> int:
    """How many of the reference's words, counted from its beginning, what was heard fits best: for the text of a part
    that ends nobody knows where."""
    return int(np.argmin(_edits_of_beginnings(words_of(reference), words_of(heard))))


def _edits_of_beginnings(expected: Sequence[str], found: Sequence[str]) -> _Counts:
    """Edits between all that was heard and each beginning of the reference: (words + 1,)."""
    one, other = _numbered(expected, found)
    return np.array([row[-1] for row in _rows(one, other)], np.int32)


def _numbered(expected: Sequence[str], found: Sequence[str]) -> tuple[_Counts, _Counts]:
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*expected, *found]))}
    one, other = (np.array([numbers[word] for word in words], np.int32) for words in (expected, found))
    return one, other


def _rows(expected: _Counts, found: _Counts) -> Iterator[_Counts]:
    """The Levenshtein table row by row, (words found + 1,) each: edits between a beginning of the reference and each
    beginning of what was heard."""
    steps = np.arange(len(found) + 1, dtype=np.int32)
    row = steps
    yield row
    for i, word in enumerate(expected, 1):
        best = np.minimum(row + 1, np.concatenate(([i], row[:-1] + (found != word))).astype(np.int32))
        # Insertions run along the row: each place may be reached from any before it, at one edit a step.
        row = np.minimum.accumulate(best - steps) + steps
        yield row
