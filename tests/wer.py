"""Word error rate, over a plain normalisation: lower case, no punctuation, straight quotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_STRAIGHT = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": " ", "—": " ", "-": " "})
_NOT_A_WORD = re.compile(r"[^\w\s']")


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


def word_errors(reference: str, heard: str) -> Errors:
    """Substitutions, deletions and insertions that turn the reference into what was heard."""
    expected = words_of(reference)
    return Errors(len(expected), _distance(expected, words_of(heard)))


def wer(reference: str, heard: str) -> float:
    """Word error rate: 0 is perfect; insertions can take it over 1."""
    return word_errors(reference, heard).rate


def _distance(expected: Sequence[str], found: Sequence[str]) -> int:
    row = list(range(len(found) + 1))
    for i, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
