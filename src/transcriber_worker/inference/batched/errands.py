"""What was decided under a lock, and is done outside it."""

import threading
from collections import deque
from collections.abc import Callable


class Errands:
    """Runs what was noted one after another, in the order it was noted, in whichever thread comes by. Thread-safe.

    An errand may note others, from its own thread too: they run after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: deque[Callable[[], None]] = deque()
        self._running = False

    def note(self, errand: Callable[[], None]) -> None:
        """To be run at the next `run`."""
        self._noted.append(errand)

    def run(self) -> None:
        """Run everything noted, unless another thread is at it: then that one does. Raises what an errand raises; the
        others wait for the next call."""
        while (errand := self._next()) is not None:
            try:
                errand()
            finally:
                with self._lock:
                    self._running = False

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._running or not self._noted:
                return None
            self._running = True
            return self._noted.popleft()
