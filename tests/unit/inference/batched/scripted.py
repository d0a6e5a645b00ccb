"""A batch model by script: every row says which window it was made of, in what language, and in what company."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.speech import a_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Span, Window
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.rows import Decoded, Ranking, Row

SURE_EN: Ranking = (("en", 0.9), ("de", 0.06), ("fr", 0.02))
SURE_DE: Ranking = (("de", 0.9), ("en", 0.06), ("fr", 0.02))
UNSURE_EN: Ranking = (("en", 0.4), ("de", 0.35), ("fr", 0.1))
UNSURE_DE: Ranking = (("de", 0.45), ("en", 0.3), ("fr", 0.1))
_WORD_S = 0.5


def marked(
    marker: int, index: int | None = None, *, seconds: float = 3.0, channel: int | None = None, core: Span | None = None
) -> Window:
    """A window full of speech whose samples all are `marker`, the `index`-th of its channel."""
    index = marker if index is None else index
    pcm = np.full(round(seconds * SAMPLE_RATE_HZ), marker, np.int16)
    return a_window(index, start_s=index * seconds, channel=channel, pcm=pcm, core=core)


def silent(index: int, *, channel: int | None = None) -> Window:
    return a_window(index, start_s=index * 3.0, channel=channel, speech=[])


def said(row: Row, ranking: Ranking) -> Decoded:
    """A word every half second: `<marker><language>.<n>`."""
    language = row.language or row.choose_language(ranking)
    marker, count = int(row.pcm[0]), int(len(row.pcm) / SAMPLE_RATE_HZ / _WORD_S)
    words = tuple(Word(n * _WORD_S, (n + 1) * _WORD_S, f" {marker}{language}.{n}", 0.9) for n in range(count))
    return Decoded(
        language=language,
        ranking=() if row.language else ranking,
        text="".join(word.text for word in words),
        tokens=count,
        words=words,
        avg_logprob=-0.2,
        no_speech_prob=0.01,
        compression_ratio=1.2,
        recipe=row.recipe,
    )


@dataclass(eq=False)
class Asked:
    """A row that was handed in."""

    row: Row
    then: Callable[[Decoded | Exception], None]
    again: bool

    @property
    def marker(self) -> int:
        return int(self.row.pcm[0])


@dataclass
class ScriptedDesk:
    """Answers when told to. `rankings`: by marker, sure English where there is none."""

    rankings: Mapping[int, Ranking] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    """Not answered yet."""
    log: list[tuple[int, str | None]] = field(default_factory=list)
    """Marker and language of all rows ever handed in."""
    gone: bool = False

    def decode(self, row: Row, then: Callable[[Decoded | Exception], None], *, again: bool = False) -> None:
        assert not self.gone
        self.asked.append(Asked(row, then, again))
        self.log.append((int(row.pcm[0]), row.language))

    def leave(self) -> None:
        self.gone = True

    def answer(self, marker: int, error: Exception | None = None) -> None:
        """Answer the oldest row of a window."""
        (first, *_) = [asked for asked in self.asked if asked.marker == marker]
        self.answer_this(first, error)

    def answer_this(self, asked: Asked, error: Exception | None = None) -> None:
        self.asked.remove(asked)
        asked.then(error or said(asked.row, self.rankings.get(asked.marker, SURE_EN)))

    def answer_all(self, pick: Callable[[Sequence[Asked]], Asked] = lambda asked: asked[0]) -> None:
        while self.asked:
            self.answer_this(pick(self.asked))


class ScriptedModel:
    """A model that answers at once; `rankings` by marker, sure English where there is none."""

    languages: tuple[str, ...] = ("de", "en", "es", "fr")
    compute_type = "none"
    encoder = "none"
    fixed_bytes = 0

    def __init__(self, rankings: Mapping[int, Ranking] | None = None) -> None:
        self._rankings = rankings or {}

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        return [said(row, self._rankings.get(int(row.pcm[0]), SURE_EN)) for row in rows]

    def encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(len(word) for word in text.split())

    def count_text(self, tokens: Sequence[int]) -> int:
        return len(tokens)

    def row_bytes(self, frames: int) -> int:
        return frames

    def warm_up(self, rows: int) -> None:
        """Nothing to load."""
