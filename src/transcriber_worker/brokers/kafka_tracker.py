"""How far one partition may be committed, while its messages end in any order. Pure: no client, no clock, no lock."""

from collections import deque


class PartitionTracker:
    """What was delivered of one partition since it was assigned, and which of it is still unfinished.

    Offsets come in rising order, with gaps where a log was compacted or holds transaction markers: what was never
    delivered holds nothing up."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        """What was delivered, from the first unfinished offset on."""
        self._unfinished: set[int] = set()
        self._next: int | None = None

    def deliver(self, offset: int) -> bool:
        """A message was read; false where it was read before, and is therefore no second delivery."""
        if self._next is not None and offset < self._next:
            return False
        self._order.append(offset)
        self._unfinished.add(offset)
        self._next = offset + 1
        return True

    def finish(self, offset: int) -> None:
        """A message needs nothing more. One that was not delivered here, or has ended, changes nothing."""
        self._unfinished.discard(offset)
        while self._order and self._order[0] not in self._unfinished:
            self._order.popleft()

    @property
    def position(self) -> int | None:
        """What may be committed: the offset before which everything delivered is finished. None: nothing was
        delivered."""
        return self._order[0] if self._order else self._next

    @property
    def next_offset(self) -> int:
        """One more than the last offset delivered; 0 before the first."""
        return self._next or 0

    @property
    def span(self) -> int:
        """How many offsets lie between what may be committed and what was delivered."""
        return self.next_offset - (self.position or 0)
