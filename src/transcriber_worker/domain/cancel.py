"""One job's stop sign, passed down to whatever works for it."""

import threading
from collections.abc import Callable


class CancelToken:
    """Set once, with the reason as an exception; whoever works for the job looks at it between steps.

    Thread-safe. Callbacks run once, in the thread that cancels, or at once where the token is already cancelled.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self, error: Exception) -> None:
        """Stop the job because of `error`; the first reason wins."""
        with self._lock:
            if self._error is not None:
                return
            self._error = error
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @property
    def cancelled(self) -> bool:
        return self._error is not None

    def raise_if_cancelled(self) -> None:
        """Raise the reason the job was stopped for, if it was."""
        if self._error is not None:
            raise self._error

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Run `callback` when the token is cancelled."""
        with self._lock:
            if self._error is None:
                self._callbacks.append(callback)
                return
        callback()
