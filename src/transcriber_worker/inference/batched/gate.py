"""Who decodes at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Batches are in the model side by side, as a rule; one that lacked memory beside others goes in by itself.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        """Whether somebody is inside by itself, or waits for the others to come out."""

    @contextmanager
    def inside(self, *, alone: bool) -> Iterator[None]:
        """Waits until the block may begin. `alone`: with nobody else inside until it ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = alone
            if alone:
                self._changed.wait_for(lambda: not self._inside)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if alone:
                    self._alone = False
                self._changed.notify_all()
