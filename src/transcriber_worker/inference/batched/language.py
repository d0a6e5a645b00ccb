"""Which language a channel of a file is decoded in. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from transcriber_worker.inference.batched.rows import Ranking

SURE = 0.5
"""From this probability on, one window decides by itself."""
VOTERS = 3
REACH = 3
"""So many windows of the file, of whatever channel, are waited for at most: a pipeline keeps only a few on the way, and
would wait for ever for a window whose language waits for one that is not cut yet."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """A language and how probable it is; None where nothing tells."""

    language: str | None
    probability: float


UNKNOWN = Tongue(None, 0.0)


def best(ranking: Ranking, allowed: Sequence[str]) -> Tongue:
    """The most probable language, among `allowed` where any are given, with its probability among all."""
    chosen = [(language, p) for language, p in ranking if not allowed or language in allowed]
    if not chosen:
        return Tongue(allowed[0] if allowed else None, 0.0)
    # Equal ones by name: the order in which a model lists them means nothing.
    language, probability = min(chosen, key=lambda one: (-one[1], one[0]))
    return Tongue(language, probability)


@dataclass(slots=True, eq=False)
class Ballot:
    """One window's say in its channel's language."""

    asked: bool = False
    """Whether its ranking was asked for."""
    ranking: Ranking | None = None
    """Empty where it could not be heard."""


@dataclass(slots=True)
class ChannelLanguage:
    """How one channel's language is decided: by its first window with speech where that is sure of one, else by the
    summed probabilities of its first three, as far as they are among the next three windows of the file.

    What it comes to depends on the file's windows and the order they were submitted in, never on when or in what order
    they were heard.
    """

    allowed: tuple[str, ...]
    decided: Tongue | None = None
    """Given from the start, where nothing is to be found out."""
    _ballots: list[Ballot] = field(default_factory=list)
    _last_position: int | None = None
    _complete: bool = False

    def join(self, position: int) -> Ballot | None:
        """A window with speech, the file's `position`-th; its ballot, where it may vote."""
        self.reached(position - 1)
        if self.decided is not None or self._complete:
            return None
        ballot = Ballot()
        self._ballots.append(ballot)
        if self._last_position is None:
            self._last_position = position + REACH
        self._complete = len(self._ballots) == VOTERS
        self.reached(position)
        return ballot

    def reached(self, position: int) -> None:
        """So many windows of the file were submitted."""
        if self._last_position is not None and position >= self._last_position:
            self.none_follow()

    def none_follow(self) -> None:
        """There are no more voters."""
        self._complete = True
        self._decide()

    def cast(self, ballot: Ballot, ranking: Ranking) -> None:
        """What a voter was heard to be; empty where it could not be heard."""
        ballot.ranking = ranking
        self._decide()

    def due(self) -> list[Ballot]:
        """The ballots to ask for now: the first at once, the others once it turned out to be unsure."""
        if self.decided is not None or not self._ballots:
            return []
        first = self._ballots[0]
        wanted = self._ballots if first.ranking is not None else [first]
        return [ballot for ballot in wanted if not ballot.asked]

    def _decide(self) -> None:
        if self.decided is not None or not self._ballots or self._ballots[0].ranking is None:
            return
        first = best(self._ballots[0].ranking, self.allowed)
        if first.probability >= SURE:
            self.decided = first
            return
        rankings = [ballot.ranking for ballot in self._ballots]
        if self._complete and None not in rankings:
            self.decided = best(_mean([ranking for ranking in rankings if ranking]), self.allowed)


def _mean(rankings: Sequence[Ranking]) -> Ranking:
    """The languages' mean probabilities, summed exactly: not even rounding depends on the order the windows were heard
    in, nor on the Python that adds them up (3.12 changed what `sum` makes of floats)."""
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for language, probability in ranking:
            parts.setdefault(language, []).append(probability)
    return [(language, math.fsum(probabilities) / len(rankings)) for language, probabilities in parts.items()]
