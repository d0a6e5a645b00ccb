"""Whose turn it is: pure, no threads and no clock."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from transcriber_worker.domain.job import Priority

_RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(slots=True)
class Place:
    """A file's standing among the others."""

    rank: int
    """0 goes first."""
    deadline: float
    """Unix seconds; without one, infinite."""
    turn: int
    """When it last had its turn, or joined."""


class Rota:
    """Picks among files that have work waiting: by priority, then deadline, then round robin.

    A newcomer queues behind those that already wait, so no file of equal standing is picked twice while another one
    waits: a long file can't starve short ones, and a stream of short ones can't starve a long one.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._places: dict[int, Place] = {}

    def join(self, priority: Priority, deadline: float | None) -> int:
        """Take part; returns the ticket to be picked by. `deadline`: Unix seconds."""
        self._turn += 1
        self._places[self._turn] = Place(_RANK[priority], math.inf if deadline is None else deadline, self._turn)
        return self._turn

    def leave(self, ticket: int) -> None:
        """Stop taking part; unknown tickets are ignored."""
        self._places.pop(ticket, None)

    def place(self, ticket: int) -> Place:
        """The standing of one that takes part, as it is from now on too."""
        return self._places[ticket]

    def took(self, ticket: int) -> None:
        """It had its turn, and goes to the back."""
        self._turn += 1
        self._places[ticket].turn = self._turn

    def pick(self, waiting: Iterable[int]) -> int | None:
        """The ticket among `waiting` whose turn it is, which thereby goes to the back; None where nobody waits."""
        ticket = min(waiting, key=self._standing, default=None)
        if ticket is not None:
            self.took(ticket)
        return ticket

    def _standing(self, ticket: int) -> tuple[int, float, int]:
        place = self._places[ticket]
        return place.rank, place.deadline, place.turn
