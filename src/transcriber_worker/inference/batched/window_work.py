"""One window on its way from its first row to its words: what to decode again, and how, until all of it is settled.
A pure state machine: no threads, no model."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.transcript import HeardWindow, Word
from transcriber_worker.inference.batched.checks import Verdict, fit_for_a_hole, invented, judge, unsure_of_language
from transcriber_worker.inference.batched.echo import same_speech
from transcriber_worker.inference.batched.holes import Hole, clear_speech, find_holes, to_rescue, within, words_in_hole
from transcriber_worker.inference.batched.ladder import Step, Try, best_of, next_step
from transcriber_worker.inference.batched.lengths import said_again
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.phrases import Said, segments
from transcriber_worker.inference.batched.rows import Decoded, Recipe
from transcriber_worker.inference.speech import stretches
from transcriber_worker.observability.labels import Retry

RESCUE_RECIPES = (Recipe(), Recipe(timestamps=True))
"""How holes are heard, one after the other as far as they stay. Without timestamps first: with them the model often
leaves out the end of a longer passage, and finds words in noise."""
MAX_FAILURES = 2
"""A stretch is given up when so many of its rows could not be decoded."""


@dataclass(slots=True, eq=False)
class _Piece:
    """A stretch of the window and what was tried to hear it."""

    passage: Passage
    """The first one tried."""
    whole: bool = False
    """Whether it is all of the window, and may be split."""
    hole: Hole | None = None
    """What it is to fill; words outside of that don't count."""
    tries: list[Try] = field(default_factory=list)
    failures: int = 0
    words: tuple[Word, ...] = ()
    """What it came to in the end."""
    row: Decoded | None = None
    """Where the words come from."""
    silent: bool = False
    """Whether the model is sure that nobody speaks in it."""
    lost: bool = False


class WindowWork:
    """Says what of a window to decode, and what to decode again. Not thread-safe.

    `adaptive`: whether rows are padded to less than 30 s; `echoed`: whether a text is only the prompt, said again;
    `mixed`: whether the language may change on the way.
    """

    def __init__(self, window: Window, *, adaptive: bool, echoed: Callable[[str], bool], mixed: bool = False) -> None:
        self._window = window
        self._adaptive = adaptive
        self._echoed = echoed
        self._mixed = mixed
        self._pieces: list[_Piece] = []
        self._outstanding: dict[Passage, _Piece] = {}
        self._holes: tuple[Hole, ...] = ()
        """As they were at first."""
        self._rescue_recipes = iter(RESCUE_RECIPES)
        self._tokens = 0
        self._retries: Counter[Retry] = Counter()

    @property
    def done(self) -> bool:
        """Whether nothing of it is being decoded."""
        return not self._outstanding

    @property
    def retries(self) -> tuple[tuple[Retry, int], ...]:
        """What was decoded again: why, and how many rows."""
        return tuple(self._retries.items())

    def begin(self) -> tuple[Passage, ...]:
        """What to decode first; nothing where the window holds no speech."""
        speech = stretches(self._window)
        return self._ask([_Piece(Passage(self._window, speech), whole=True)]) if speech else ()

    def heard(self, passage: Passage, decoded: Decoded) -> tuple[Passage, ...]:
        """Take in what the model said of a passage given out before; return what else to decode."""
        piece = self._outstanding.pop(passage)
        self._tokens += decoded.tokens
        tried = Try(passage, decoded, self._judged(piece, passage, decoded))
        if piece.tries and piece.tries[-1].verdict is Verdict.ECHO:
            tried = _unless_said(piece.tries[-1], tried)
        piece.tries.append(tried)
        return self._again(piece, tried.passage, tried.verdict)

    def failed(self, passage: Passage, error: Exception) -> tuple[Passage, ...]:  # noqa: ARG002 - logged by the caller
        """Take in that a passage could not be decoded; return what to decode instead."""
        piece = self._outstanding.pop(passage)
        piece.failures += 1
        return self._again(piece, passage, None)

    def heard_window(self, language: str | None, probability: float) -> HeardWindow:
        """What was heard in the window, in its context too, words with their segments. To be asked once all is done."""
        found = [word for piece in self._pieces if piece.hole is not None for word in piece.words]
        return HeardWindow(
            segments=segments(self._said(), channel=self._window.channel, mixed=self._mixed),
            language=language,
            language_probability=probability,
            tokens=self._tokens,
            holes_found=len(self._holes),
            holes_rescued=sum(any(hole.holds(word) for word in found) for hole in self._holes),
            wordless=tuple(hole.speech for hole in self._find_holes(self._pieces)),
            lost=tuple(
                span for piece in self._pieces if piece.lost for span in within(piece.passage.spans, self._window.core)
            ),
        )

    def _ask(self, pieces: Sequence[_Piece]) -> tuple[Passage, ...]:
        self._pieces.extend(pieces)
        self._outstanding.update((piece.passage, piece) for piece in pieces)
        return tuple(piece.passage for piece in pieces)

    def _again(self, piece: _Piece, passage: Passage, verdict: Verdict | None) -> tuple[Passage, ...]:
        """Take the next step for a piece, or settle it; then, if nothing is open, look for holes."""
        step = self._next_step(piece, passage, verdict)
        if step is None:
            self._settle(piece)
            return () if self._outstanding else self._look_for_holes()
        self._retries[step.retry] += len(step.passages)
        if step.retry is Retry.SPLIT:
            self._pieces.remove(piece)
            return self._ask([_Piece(half) for half in step.passages])
        self._outstanding.update((passage, piece) for passage in step.passages)
        return step.passages

    def _next_step(self, piece: _Piece, passage: Passage, verdict: Verdict | None) -> Step | None:
        if verdict in (Verdict.GOOD, Verdict.SILENCE) or piece.failures >= MAX_FAILURES:
            return None
        if piece.hole is not None and verdict is not Verdict.ECHO:
            return None
        return next_step(passage, verdict, adaptive=self._adaptive, may_split=piece.whole)

    def _settle(self, piece: _Piece) -> None:
        """Make the best of what was tried."""
        best = best_of(piece.tries)
        if best is None:
            piece.silent = bool(piece.tries) and piece.tries[-1].verdict is Verdict.SILENCE
            piece.lost = piece.hole is None and not piece.tries
            return
        if piece.hole is not None and not fit_for_a_hole(best.verdict, best.decoded):
            return
        words = best.passage.words(best.decoded.words)
        if piece.hole is not None:
            words = words_in_hole(words, piece.hole)
        if words and not invented(words, best.decoded, best.passage.duration_s):
            piece.words, piece.row = words, best.decoded

    def _look_for_holes(self) -> tuple[Passage, ...]:
        """When all else is settled: clear speech that got no words is heard by itself. Not what the model takes for
        silence: it would say so again, or with timestamps write whole sentences over noise."""
        holes = self._find_holes(piece for piece in self._pieces if not piece.silent)
        recipe = next(self._rescue_recipes, None) if holes else None
        if recipe is None:
            return ()
        self._holes = self._holes or holes
        self._retries[Retry.HOLE] += len(holes)
        return self._ask([_Piece(to_rescue(hole, self._window, recipe), hole=hole) for hole in holes])

    def _find_holes(self, pieces: Iterable[_Piece]) -> tuple[Hole, ...]:
        """Clear speech without words in these pieces."""
        tried = (piece for piece in pieces if piece.hole is None and not piece.lost)
        heard = [span for piece in tried for span in piece.passage.spans]
        words = [word for word, _ in self._words()]
        return tuple(find_holes(words, clear_speech(self._window, heard), self._window.core))

    def _judged(self, piece: _Piece, passage: Passage, decoded: Decoded) -> Verdict:
        if decoded.words and invented(decoded.words, decoded, passage.duration_s):
            return Verdict.SILENCE
        verdict = judge(decoded, echo=passage.with_prompt and self._echoed(decoded.text))
        if verdict is not Verdict.GOOD:
            return verdict
        short = self._adaptive and not passage.full_length
        whole = self._mixed and piece.whole
        if not (short or whole):
            return verdict
        if short and said_again(decoded.text):
            return Verdict.LOOP
        incomplete = self._leaves_holes(passage, decoded)
        if whole and (incomplete or unsure_of_language(decoded.ranking)):
            return Verdict.TWO_LANGUAGES
        return Verdict.CUT_SHORT if short and incomplete else verdict

    def _leaves_holes(self, passage: Passage, decoded: Decoded) -> bool:
        clear = clear_speech(self._window, passage.spans)
        return bool(find_holes(passage.words(decoded.words), clear, self._window.core))

    def _words(self) -> list[tuple[Word, Decoded]]:
        """All words so far with their rows, in order. One that took in what was found to be others ends before them."""
        found = [(word, piece.row) for piece in self._pieces if piece.row is not None for word in piece.words]
        found.sort(key=lambda pair: (pair[0].start_s, pair[0].end_s))
        ends = [word.start_s for word, _ in found[1:]] + [math.inf]
        return [(replace(word, end_s=min(word.end_s, end)), row) for (word, row), end in zip(found, ends, strict=False)]

    def _said(self) -> list[Said]:
        """All words, in order, in runs that come from one row."""
        runs: list[Said] = []
        for word, row in self._words():
            if runs and runs[-1].row is row:
                runs[-1] = Said((*runs[-1].words, word), row)
            else:
                runs.append(Said((word,), row))
        return runs


def _unless_said(prompted: Try, unprompted: Try) -> Try:
    """Which of two to go by: what seemed to be an echo of the prompt was really said if it is heard without the prompt
    too, and then it is spelled better with it."""
    said = same_speech(prompted.decoded.text, unprompted.decoded.text)
    if not said or unprompted.verdict is Verdict.SILENCE:
        return unprompted
    return replace(prompted, verdict=judge(prompted.decoded, echo=False))
