"""One file's place at the dispatcher."""

from collections.abc import Callable
from typing import Protocol

from transcriber_worker.domain.errors import HandBack
from transcriber_worker.inference.base import Listener
from transcriber_worker.inference.batched.rows import Decoded, Row
from transcriber_worker.inference.batched.scheduler import Waiting

Then = Callable[[Decoded | Exception], None]
"""Told of a row what came of it."""


class Dispatcher(Protocol):
    """What a desk asks of it. Thread-safe."""

    def enqueue(self, desk: "Desk", row: Row, then: Then, *, again: bool) -> None:
        """Queue a row of an open file."""

    def end_desk(self, desk: "Desk", error: Exception, *, leave: bool) -> None:
        """Answer all rows of a file with `error`, and all that it may still ask; `leave`: forget the file."""


class Desk:
    """One file's place at the dispatcher. Thread-safe."""

    def __init__(self, dispatcher: Dispatcher, ticket: int, listener: Listener) -> None:
        self._dispatcher = dispatcher
        self._cancel = listener.cancel
        self.ticket = ticket
        self.answers: dict[Waiting, Then] = {}
        """Whom to tell of the rows queued or in work; under the dispatcher's lock, as `error`. Whoever takes one out
        tells it, so each is told once."""
        self.error: Exception | None = None
        """What every row is answered with from now on."""

    def decode(self, row: Row, then: Then, *, again: bool = False) -> None:
        """Queue a row; `again`: before the file's others, since its stretch was decoded before. `then` is told once,
        with no lock held, of the `Decoded` or the error: on an engine's thread, on that of whoever ends the file or
        the engine, or at once where it is over. It must not raise: if it does, the file is cancelled with that error.
        """
        self._dispatcher.enqueue(self, row, then, again=again)

    def drop(self, error: Exception) -> None:
        """Answer everything at once with `error`, and whatever follows."""
        self._dispatcher.end_desk(self, error, leave=False)

    def leave(self) -> None:
        """Forget the file; what is still to be decoded is answered with `HandBack`."""
        self._dispatcher.end_desk(self, HandBack("the file was closed"), leave=True)

    def cancelled(self) -> None:
        """Drop everything for the reason of the cancellation."""
        try:
            self._cancel.raise_if_cancelled()
        except Exception as reason:
            self.drop(reason)

    def tell(self, then: Then, outcome: Decoded | Exception) -> None:
        """Outside any lock: it may come back."""
        try:
            then(outcome)
        except Exception as error:
            self._cancel.cancel(error)
