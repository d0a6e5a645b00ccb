"""The seam to message brokers: a handful of methods in our own words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What a broker carries. `id` stays the same over redeliveries of one publication."""

    id: str
    body: bytes
    published_at: float | None
    """Unix seconds, where the broker tells."""
    origin: str
    """Where it came from, for a human and for dead letters: `spool:inbox/call.json`, `kafka:jobs/3@4711`."""
    headers: Mapping[str, str]


class Delivery(Protocol):
    """One message, leased to this worker until it is settled or given back. Settles once: a second call of `settle` or
    `give_back` does nothing. Every method but `message` may raise `EnvironmentDown`; thread-safe."""

    @property
    def message(self) -> Message: ...

    def extend(self) -> None:
        """Keep the message for another lease; raises `LeaseLost` when somebody else may have it by now."""
        ...

    def settle(self) -> None:
        """Done with the message for good. A lost lease is no error: the next holder finds the work done."""
        ...

    def give_back(self, delay_s: float = 0.0) -> None:
        """Let it be delivered again, to anybody, after `delay_s`. A lost lease is no error."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as the broker keeps it: the job's id, and the letter's JSON."""

    id: str
    body: bytes


class DeadLetters(Protocol):
    """Where a broker keeps the messages that can't be done; one letter per id, the latest wins."""

    def put(self, letter: Letter) -> None:
        """Durable when it returns."""
        ...

    def get(self, letter_id: str) -> Letter | None: ...

    def list(self) -> Iterator[Letter]:
        """Oldest first."""
        ...

    def resolve(self, letter_id: str) -> None:
        """Remove a letter: its job was redriven or done after all. One that is not there is no error."""
        ...


class Broker(Protocol):
    """Brings deliveries and carries results. Every method may raise `EnvironmentDown`. `receive` is called by one
    thread, the others by any."""

    @property
    def dead_letters(self) -> DeadLetters: ...

    def receive(self, limit: int, wait_s: float) -> Sequence[Delivery]:
        """Up to `limit` messages, waiting up to `wait_s` for the first. An empty answer proves nothing."""
        ...

    def publish(self, body: bytes, headers: Mapping[str, str]) -> str:
        """Send a request (submit, redrive); durable when it returns its message id."""
        ...

    def announce(self, event_id: str, body: bytes, reply_to: str | None) -> None:
        """Publish a result event; durable when it returns. The same `event_id` again is the same event."""
        ...

    def close(self) -> None:
        """Let go of everything still leased, without settling it."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much is left to do, as far as the broker tells; numbers of messages."""

    waiting: int
    """Delivered to nobody."""
    in_flight: int
    """With a worker, not settled. Where a broker can't tell them apart they count as waiting."""
    dead_letters: int | None = None
    """What the service itself has put aside, past every worker; None where it does no such thing."""


class BacklogReader(Protocol):
    """Looks at a broker from outside, without taking part in it. Used by one thread."""

    def read(self) -> Backlog:
        """The backlog now; raises `EnvironmentDown` where it is not known."""
        ...

    def close(self) -> None: ...
