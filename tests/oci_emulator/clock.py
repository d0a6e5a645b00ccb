"""The emulator's time: the machine's, plus an offset that tests move."""

import threading
import time


class VirtualClock:
    """Thread-safe. Visibility, retention, expiry, dates in answers: everything but the check of a signature's age."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self._offset_s = offset_s
        self._lock = threading.Lock()
        self._waiting: list[threading.Condition] = []

    @property
    def offset_s(self) -> float:
        return self._offset_s

    def now(self) -> float:
        """Virtual time, Unix seconds."""
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Jump ahead, and wake whoever waits, so that long polls see what came about by it."""
        with self._lock:
            self._offset_s += seconds
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

    def wait(self, condition: threading.Condition, until: float) -> bool:
        """Wait, with `condition` held, to be notified or for virtual time to change; returns whether `until` is still
        ahead. Wake-ups may be spurious: call it in a loop that looks again."""
        with self._lock:
            self._waiting.append(condition)
        try:
            # Counted after it was registered: an advance in between waits for the condition and notifies.
            if (remaining_s := until - self.now()) > 0:
                condition.wait(remaining_s)
        finally:
            with self._lock:
                self._waiting.remove(condition)
        return self.now() < until
