"""What text is made of, in any script: tokens to compare, sentence ends, joins, display width."""

import re
import unicodedata
from dataclasses import dataclass

# Scripts that write no spaces between words: Han and kana with their punctuation and full-width forms, Thai, Lao,
# Burmese, Khmer. Hangul is not one of them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
_UNSPACED_CHAR = re.compile(f"[{_UNSPACED}]")
_LEAST_UNSPACED = "\u0e00"
"""Told by one comparison, since most text is below it."""
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_CLOSERS = "\"'”’»)]}」』）】〉》"
_SENTENCE_ENDS = frozenset(".?!…。？！｡．؟۔।॥")
_CLAUSE_ENDS = frozenset(",;:—–،؛、，；：")
# Small kana belong to the sound before them.
_NEVER_FIRST = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ\u200d")
_NEVER_FIRST_CATEGORIES = frozenset({"Mn", "Mc", "Me", "Pe", "Pf", "Po", "Pd", "Lm"})
_NEVER_LAST_CATEGORIES = frozenset({"Ps", "Pi"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or one character of an unspaced script, as it is compared; `start` is its offset in the text."""

    key: str
    start: int
    words: float
    """How many words it stands for: a character of an unspaced script is about half a word."""


def is_unspaced(char: str) -> bool:
    """Whether `char` belongs to a script that writes no spaces between words."""
    return char >= _LEAST_UNSPACED and _UNSPACED_CHAR.match(char) is not None


def tokens(text: str) -> list[Token]:
    """The words of `text` without case and punctuation; what is only punctuation is no token."""
    found = []
    for match in _TOKEN.finditer(text):
        key = "".join(char for char in match[0].casefold() if unicodedata.category(char)[0] in "LNM")
        if key:
            found.append(Token(key, match.start(), 0.5 if is_unspaced(match[0][0]) else 1.0))
    return found


def ends_sentence(text: str) -> bool:
    """Whether `text` ends with a full stop of any script, closing quotes and brackets aside."""
    return text.rstrip().rstrip(_CLOSERS)[-1:] in _SENTENCE_ENDS


def ends_clause(text: str) -> bool:
    """Whether `text` ends with a comma, a dash or the like."""
    return text.rstrip().rstrip(_CLOSERS)[-1:] in _CLAUSE_ENDS


def separator(before: str, after: str) -> str:
    """What stands between two texts that are put together: nothing inside unspaced scripts, else a space. A space that
    the model wrote stays."""
    left, right = before.strip(), after.strip()
    if not left or not right:
        return ""
    if before[-1].isspace() or after[0].isspace():
        return " "
    return "" if is_unspaced(left[-1]) and is_unspaced(right[0]) else " "


def joined(before: str, after: str) -> str:
    """Two texts as one; see `separator`."""
    return before.strip() + separator(before, after) + after.strip()


def may_break(before: str, after: str) -> bool:
    """Whether a line may end between these two neighbouring characters that no space parts."""
    if not (is_unspaced(before) or is_unspaced(after)):
        return False
    if after in _NEVER_FIRST or unicodedata.category(after) in _NEVER_FIRST_CATEGORIES:
        return False
    return unicodedata.category(before) not in _NEVER_LAST_CATEGORIES


def display_width(text: str) -> int:
    """Columns `text` takes on a screen: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def plain(text: str) -> str:
    """`text` as one line: control characters and byte order marks are spaces, runs of white space one space."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """`text` with control characters and byte order marks as spaces; its length stays."""
    if text.isprintable():
        return text
    return "".join(" " if char == "\ufeff" or unicodedata.category(char) == "Cc" else char for char in text)
