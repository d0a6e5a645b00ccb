"""How far files are read ahead of the engine: far where few are heard, less far where many are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lookahead:
    """Windows that may wait for the engine. Thread-safe.

    `least` of a file always may: one whose first window does not tell its language waits for the next ones. More, up to
    `most` of a file, come out of `shared`, which all files have together: one long file fills batches, and many fill
    them together without each of them holding as much.
    """

    def __init__(self, least: int, most: int, shared: int) -> None:
        self.least = least
        self.most = max(least, most)
        self.shared = shared
        self._left = shared
        self._lock = threading.Lock()

    def windows(self, files: int) -> int:
        """Most that so many files ever have in memory, with the one of each that is being waited for."""
        return files * (self.least + 1) + min(self.shared, files * (self.most - self.least))

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One file's part of it, which is given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            share.take(0)

    def exchange(self, held: int, wanted: int) -> bool:
        """Hold `wanted` of what is shared in place of `held`, unless there are not enough."""
        with self._lock:
            if wanted > held + self._left:
                return False
            self._left -= wanted - held
            return True


class Share:
    """One file's windows that wait; of one thread."""

    def __init__(self, whole: Lookahead) -> None:
        self._whole = whole
        self._held = 0
        """Of what all files share."""

    def take(self, waiting: int) -> bool:
        """Have places for so many that wait; False: there are not enough, and nothing has changed. Fewer than before
        always have them."""
        wanted = max(0, waiting - self._whole.least)
        if waiting > self._whole.most or not self._whole.exchange(self._held, wanted):
            return False
        self._held = wanted
        return True
