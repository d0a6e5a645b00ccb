"""Which rows are decoded together next. Pure: no threads, and the time is told.

Rows of one recipe share a batch, whatever their files; a batch is padded to its longest row, so its rows are of similar
length. Who goes first, and how the rest of a batch is shared out:

1. Priorities are strict: rows of a lower one only fill what the higher ones leave free.
2. Within a priority a batch is filled in rounds of one row a file. Places in a round go by turns to who is in a hurry
   (files that have had nothing yet, then those with the nearest deadline) and to whose turn it is (the file that has
   waited longest among those that have had something). So a new clip is in the next batch or the one after, however
   many long files keep the queue full; and however many clips arrive, about half is left to the long files.
3. The first row sets the recipe. A few odd rows of one file, to be tried again in another way, let the others go ahead
   for some batches: they may get company.
4. Every eighth batch begins with the file that has been passed over longest, whatever its standing: with F files
   waiting, each gets its next row within 8 F batches.

A file's rows are decoded in the order they came, those to be tried again before all others.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from transcriber_worker.domain.job import Priority
from transcriber_worker.inference.batched.caps import Pace
from transcriber_worker.inference.batched.padding import Band, Padding, band_around
from transcriber_worker.inference.batched.rows import Recipe, Row
from transcriber_worker.inference.rota import Place, Rota

_PASSED_OVER_BATCHES = 8
_GATHER_BATCHES = 4
"""How long odd rows wait for company while others could fill a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A row in the queue."""

    ticket: int
    row: Row
    again: bool
    """Whether its stretch of audio was decoded before, wholly or in part."""
    since_s: float
    """When it was queued, monotonic."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one recipe, to be decoded together."""

    rows: tuple[Waiting, ...]
    most: int
    """How many it could have had."""
    waited_s: float
    """How long its oldest row has waited."""


@dataclass(slots=True, eq=False)
class _File:
    ticket: int
    place: Place
    passed_since: int
    """How many batches had been made when it last had its first row taken, or began to wait."""
    fresh: bool = True
    """Whether it has had nothing yet."""
    again: dict[Waiting, None] = field(default_factory=dict)
    new: dict[Waiting, None] = field(default_factory=dict)

    def rows(self) -> Iterator[Waiting]:
        """What waits, in order."""
        return chain(self.again, self.new)

    @property
    def first(self) -> Waiting:
        """What is to be decoded before all else."""
        return next(self.rows())


class Scheduler:
    """The queue of all files' rows.

    `flush_s`: how long a batch that is not full waits for more rows. `share`: whether idle workers share out what
    waits. On the CPU they do: each worker has cores of its own, which would stand idle beside a larger batch that is
    hardly faster than two smaller ones. On an accelerator they don't: it takes little longer over a full batch than
    over half of one, and its workers only take turns. For the same reason an accelerator's batch that has room takes
    in rows too short for it, while on the CPU these are cheaper on their own.
    """

    def __init__(self, *, flush_s: float, pace: Pace, share: bool) -> None:
        self._flush_s = flush_s
        self._pace = pace
        self._share = share
        self._rota = Rota()
        self._files: dict[int, _File] = {}
        self._queue: dict[Waiting, None] = {}
        """All rows, the oldest first."""
        self._lengths: defaultdict[Recipe, Counter[int]] = defaultdict(Counter)
        """How many rows of each recipe wait, by their frames."""
        self._made = 0
        """Batches so far."""

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    def join(self, priority: Priority, deadline: float | None) -> int:
        """Begin a file; returns its ticket. `deadline`: Unix seconds."""
        ticket = self._rota.join(priority, deadline)
        self._files[ticket] = _File(ticket, self._rota.place(ticket), self._made)
        return ticket

    def leave(self, ticket: int) -> None:
        """Forget a file and its rows; unknown tickets are ignored."""
        if ticket in self._files:
            self.drop(ticket)
            del self._files[ticket]
            self._rota.leave(ticket)

    def add(self, ticket: int, row: Row, now: float, *, again: bool = False) -> Waiting:
        """Queue a row of a file that has joined. `now`: monotonic seconds, never less than before."""
        waiting = Waiting(ticket, row, again, now)
        file = self._files[ticket]
        if not file.again and not file.new:
            file.passed_since = self._made
        (file.again if again else file.new)[waiting] = None
        self._queue[waiting] = None
        self._lengths[row.recipe][row.frames] += 1
        return waiting

    def drop(self, ticket: int) -> None:
        """Unqueue all rows of a file that has joined."""
        for waiting in list(self._files[ticket].rows()):
            self._remove(waiting)

    def due(self) -> float | None:
        """When to look again if nothing is added until then, monotonic seconds; None: not before something is."""
        oldest = next(iter(self._queue), None)
        return None if oldest is None else oldest.since_s + self._flush_s

    def next(self, now: float, cap: Callable[[int], int], idle: int = 1) -> Batch | None:
        """Take the next batch out of the queue; None: wait for more rows until `due`.

        `cap(frames)`: rows a batch may have that is padded so far; `idle`: workers that have nothing to do, the one
        that asks included.
        """
        due = self.due()
        if due is None:
            return None
        files = [file for file in self._files.values() if file.again or file.new]
        first = self._first(files, cap)
        recipe = first.row.recipe
        band = band_around(first.row.frames, self._lengths[recipe], lambda frames: self._most(recipe, frames, cap))
        room = self._most(recipe, band.longest, cap)
        rows = [first, *islice(self._in_rounds(files, first, band), room - 1)]
        if not self._share:
            rows += islice(self._shorter(files, rows, band), room - len(rows))
        if len(rows) < room and now < due:
            return None
        if self._share:
            del rows[-(-len(self._queue) // idle) :]
        self._take(rows)
        return Batch(tuple(rows), room, now - min(waiting.since_s for waiting in rows))

    def _most(self, recipe: Recipe, frames: int, cap: Callable[[int], int]) -> int:
        """Rows a batch may have by memory and by time."""
        in_time = self._pace.rows(recipe, frames)
        return cap(frames) if in_time is None else min(cap(frames), in_time)

    def _first(self, files: list[_File], cap: Callable[[int], int]) -> Waiting:
        """The row that a batch is made around."""
        if self._made % _PASSED_OVER_BATCHES == _PASSED_OVER_BATCHES - 1:
            return min(files, key=lambda file: (file.passed_since, file.place.turn)).first

        def fills(file: _File) -> bool:
            row = file.first.row
            return self._lengths[row.recipe].total() >= self._most(row.recipe, row.frames, cap)

        rank = min(file.place.rank for file in files)
        order = self._order(file for file in files if file.place.rank == rank)
        begins = order[0]
        if not begins.fresh and self._made - begins.passed_since < _GATHER_BATCHES and not fills(begins):
            begins = next(filter(fills, order), begins)
        return begins.first

    def _order(self, peers: Iterable[_File]) -> list[_File]:
        """Files of one priority as they go first: by turns whoever is in a hurry, and whose turn it is."""
        peers = list(peers)
        hurried = sorted(peers, key=lambda file: (not file.fresh, file.place.deadline, file.place.turn))
        in_turn = sorted(peers, key=lambda file: (file.fresh, file.place.turn))
        pairs = zip(in_turn, hurried, strict=True) if self._made % 2 else zip(hurried, in_turn, strict=True)
        return list(dict.fromkeys(chain.from_iterable(pairs)))

    def _in_rounds(self, files: list[_File], first: Waiting, band: Band) -> Iterator[Waiting]:
        """Who else comes into the batch around `first`, in rounds of one row a file."""

        def candidates(file: _File) -> Iterator[Waiting]:
            if file.ticket == first.ticket:
                yield first
            for waiting in file.rows():
                row = waiting.row
                if waiting is not first and row.recipe == first.row.recipe and row.frames in band:
                    yield waiting

        for rank in sorted({file.place.rank for file in files}):
            lines = [candidates(file) for file in self._order(file for file in files if file.place.rank == rank)]
            while lines:
                drawn = [(line, next(line, None)) for line in lines]
                yield from (waiting for _, waiting in drawn if waiting is not None and waiting is not first)
                lines = [line for line, waiting in drawn if waiting is not None]

    def _shorter(self, files: list[_File], rows: list[Waiting], band: Band) -> Iterator[Waiting]:
        """What is too short for the band fills up a batch that has room, the longest first, while little is padding."""
        recipe = rows[0].row.recipe
        if min(self._lengths[recipe]) >= band.shortest:
            return
        padding = Padding([waiting.row.frames for waiting in rows])
        had = Counter(waiting.ticket for waiting in rows)
        shorter = [
            waiting
            for file in files
            for waiting in file.rows()
            if waiting.row.recipe == recipe and waiting.row.frames < band.shortest
        ]
        shorter.sort(key=lambda waiting: (had[waiting.ticket], -waiting.row.frames))
        yield from (waiting for waiting in shorter if padding.admits(waiting.row.frames))

    def _take(self, rows: list[Waiting]) -> None:
        self._made += 1
        taken = dict.fromkeys(rows)
        for ticket in dict.fromkeys(waiting.ticket for waiting in rows):
            file = self._files[ticket]
            file.fresh = False
            if file.first in taken:  # otherwise it goes on waiting for its turn, since that is what it waits for
                self._rota.took(ticket)
                file.passed_since = self._made
        for waiting in rows:
            self._remove(waiting)

    def _remove(self, waiting: Waiting) -> None:
        file = self._files[waiting.ticket]
        del (file.again if waiting.again else file.new)[waiting]
        del self._queue[waiting]
        lengths = self._lengths[waiting.row.recipe]
        lengths[waiting.row.frames] -= 1
        if not lengths[waiting.row.frames]:
            del lengths[waiting.row.frames]
        if not lengths:
            del self._lengths[waiting.row.recipe]
