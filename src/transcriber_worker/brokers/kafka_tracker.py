"""How far one partition may be committed, while its messages end in any order. Pure: no client, no clock, no lock."""

from collections import deque


class PartitionTracker:
    """What was delivered of one partition since it was assigned, and which of it is still unfinished.

    Offsets come in rising order, with gaps where a log was compacted or holds transaction markers: what was never
    delivered holds nothing up."""

    def __init__(self) -> None:
        self._delivered: deque[int] = deque()
        """Offsets from the first unfinished one on; each is unfinished unless in `_finished`."""
        self._finished: set[int] = set()
        self._next: int | None = None

    def deliver(self, offset: int) -> bool:
        """A message was read; false where it was read before, and is therefore no second delivery."""
        if self._next is not None and offset < self._next:
            return False
        self._delivered.append(offset)
        self._next = offset + 1
        return True

    def finish(self, offset: int) -> None:
        """A message needs nothing more. One that was never delivered here, or has ended, changes nothing."""
        if self.position is None or offset < self.position:
            return
        self._finished.add(offset)
        while self._delivered and self._delivered[0] in self._finished:
            self._finished.discard(self._delivered.popleft())

    @property
    def position(self) -> int | None:
        """What may be committed: the offset before which everything delivered is finished. None: nothing was
        delivered."""
        return self._delivered[0] if self._delivered else self._next

    @property
    def span(self) -> int:
        """How many offsets lie between what may be committed and what was delivered."""
        return 0 if self._next is None or self.position is None else self._next - self.position
