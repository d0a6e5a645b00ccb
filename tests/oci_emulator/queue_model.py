"""One queue of the OCI Queue service as a pure state machine: every method is told the time, nothing here waits.

Whether a message waits, is in flight, has moved to the dead-letter queue or is gone is decided by the time alone, so
each method first lets happen what the time has brought (`_catch_up`), then does its own work.

The same calls at the same times give the same state, ids and receipts: a journal need only keep the calls that
changed something."""

import base64
import bisect
import heapq
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

FIRST_ID = 36_028_797_018_963_968
"""Ids are int64 and past what a double holds, as the service's own are."""


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """As CreateQueue takes it. Times in seconds."""

    retention_s: float = 86_400
    visibility_s: int = 30
    timeout_s: int = 30
    dead_letter_count: int = 0
    """Deliveries after which a message moves to the dead-letter queue; 0: never."""
    max_message_bytes: int = 128 * 1024


class Refusal(StrEnum):
    """Why a receipt was not taken."""

    MALFORMED = "malformed"
    STALE = "stale"
    PAST_RETENTION = "past_retention"


class ReceiptRefused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@dataclass(slots=True)
class Stored:
    """A message where the queue keeps it. `key` is the queue's own; a duplicate has a key of its own and the id of
    its twin. Times: Unix seconds."""

    key: int
    id: int
    content: str
    channel: str | None
    properties: dict[str, str]
    created_at: float
    expires_at: float
    visible_at: float
    deliveries: int = 0
    receipt: str | None = None
    dead: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.content.encode())


@dataclass(frozen=True, slots=True)
class Count:
    """A half of GetStats."""

    visible: int = 0
    in_flight: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of PutMessages."""

    content: str
    channel: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class QueueModel:
    """Not thread-safe."""

    def __init__(self, config: QueueConfig, seed: int = 0) -> None:
        self.config = config
        self._random = random.Random(seed)
        self._messages: dict[int, Stored] = {}
        self._by_receipt: dict[str, int] = {}
        self._ready: dict[str | None, list[int]] = {}
        self._hidden: list[tuple[float, int]] = []
        self._expiring: list[tuple[float, int]] = []
        self._last_key = 0

    def put(self, now: float, entries: Sequence[Entry]) -> list[Stored]:
        self._catch_up(now)
        expires_at = now + self.config.retention_s
        stored = []
        for entry in entries:
            self._last_key += 1
            id_ = FIRST_ID + self._last_key
            properties = dict(entry.properties)
            message = Stored(self._last_key, id_, entry.content, entry.channel, properties, now, expires_at, now)
            self._keep(message)
            stored.append(replace(message))
        return stored

    def get(
        self,
        now: float,
        limit: int,
        visibility_s: float,
        channel: str | None = None,
        *,
        max_bytes: int = 2 * 1024 * 1024,
        shuffled: bool = False,
        twice: bool = False,
    ) -> list[Stored]:
        """The oldest visible messages of one channel: of `channel`, or of a random one that has any. `shuffled`: not
        the oldest but any; `twice`: what is delivered stays for another consumer, who gets a receipt of his own."""
        self._catch_up(now)
        ready = self._visible(channel) if channel is not None else self._random_channel()
        if shuffled:
            self._random.shuffle(ready)
        taken: list[Stored] = []
        size_bytes = 0
        for message in ready:
            size_bytes += message.size_bytes
            if len(taken) == limit or (taken and size_bytes > max_bytes):
                break
            if twice:
                self._duplicate(message)
            self._deliver(now, message, visibility_s)
            taken.append(replace(message))
        self._catch_up(now)
        return taken

    def check(
        self, now: float, receipt: str, visibility_s: float = 0, *, strict: bool = True, clip: bool = True
    ) -> None:
        """Whether `update` or `delete` would be allowed; raises `ReceiptRefused`. `strict`: a receipt ends with the
        visibility, else when somebody else receives the message. `clip`: a visibility past the retention is cut short,
        else it is refused."""
        self._catch_up(now)
        if not _is_receipt(receipt):
            raise ReceiptRefused(Refusal.MALFORMED)
        message = self._held(now, receipt)
        if message is None or (strict and message.visible_at <= now):
            raise ReceiptRefused(Refusal.STALE)
        if not clip and now + visibility_s > message.expires_at:
            raise ReceiptRefused(Refusal.PAST_RETENTION)

    def update(self, now: float, receipt: str, visibility_s: float) -> Stored:
        """What `check` has allowed; a visibility past the retention ends with it."""
        message = self._held(now, receipt)
        if message is None:
            raise ReceiptRefused(Refusal.STALE)
        self._hide(message, min(now + visibility_s, message.expires_at))
        self._catch_up(now)
        return replace(message)

    def delete(self, now: float, receipt: str) -> None:
        """What `check` has allowed."""
        message = self._held(now, receipt)
        if message is None:
            raise ReceiptRefused(Refusal.STALE)
        self._forget(message)

    def purge(self, now: float, channels: Collection[str] = (), *, alive: bool = True, dead: bool = False) -> None:
        """Forget the messages of the queue, of its dead-letter queue or of both; with `channels` only theirs."""
        self._catch_up(now)
        for message in list(self._messages.values()):
            if (dead if message.dead else alive) and (not channels or message.channel in channels):
                self._forget(message)

    def stats(self, now: float, channel: str | None = None) -> tuple[Count, Count]:
        """The queue's figures and its dead-letter queue's."""
        return self._count(now, channel, dead=False), self._count(now, channel, dead=True)

    def channels(self, now: float) -> list[str]:
        """The named channels that hold messages."""
        self._catch_up(now)
        return sorted({message.channel for message in self._messages.values() if message.channel is not None})

    def any_visible(self, now: float, channel: str | None = None) -> bool:
        """Whether `get` would bring something; of any channel where None is named."""
        self._catch_up(now)
        return any(ready for name, ready in self._ready.items() if channel is None or name == channel)

    def next_visible_at(self, now: float) -> float | None:
        """When a message that is in flight becomes visible, if nobody touches it: what a long poll may wait for."""
        self._catch_up(now)
        return self._hidden[0][0] if self._hidden else None

    def messages(self, now: float) -> list[Stored]:
        """Everything there is, dead letters included, by age."""
        self._catch_up(now)
        return [replace(message) for message in sorted(self._messages.values(), key=lambda message: message.key)]

    def _held(self, now: float, receipt: str) -> Stored | None:
        self._catch_up(now)
        message = self._messages.get(self._by_receipt.get(receipt, 0))
        return None if message is None or message.dead else message

    def _deliver(self, now: float, message: Stored, visibility_s: float) -> None:
        if message.receipt is not None:
            self._by_receipt.pop(message.receipt, None)
        message.deliveries += 1
        message.receipt = base64.urlsafe_b64encode(b"r1" + self._random.randbytes(40)).decode()
        self._by_receipt[message.receipt] = message.key
        self._hide(message, min(now + visibility_s, message.expires_at))

    def _duplicate(self, message: Stored) -> None:
        self._last_key += 1
        self._keep(replace(message, key=self._last_key, receipt=None))

    def _hide(self, message: Stored, until: float) -> None:
        self._withdraw(message)
        message.visible_at = until
        heapq.heappush(self._hidden, (until, message.key))

    def _keep(self, message: Stored) -> None:
        self._messages[message.key] = message
        if message.receipt is not None:
            self._by_receipt[message.receipt] = message.key
        heapq.heappush(self._hidden, (message.visible_at, message.key))
        heapq.heappush(self._expiring, (message.expires_at, message.key))

    def _forget(self, message: Stored) -> None:
        del self._messages[message.key]
        self._withdraw(message)
        if message.receipt is not None:
            self._by_receipt.pop(message.receipt, None)

    def _catch_up(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            message = self._messages.get(heapq.heappop(self._expiring)[1])
            if message is not None:
                self._forget(message)
        while self._hidden and self._hidden[0][0] <= now:
            until, key = heapq.heappop(self._hidden)
            message = self._messages.get(key)
            if message is not None and not message.dead and message.visible_at == until:
                self._withdraw(message)
                self._show(message)

    def _withdraw(self, message: Stored) -> None:
        """Take a message out of those that wait, if it is among them."""
        ready = self._ready.get(message.channel, [])
        at = bisect.bisect_left(ready, message.key)
        if at < len(ready) and ready[at] == message.key:
            del ready[at]

    def _show(self, message: Stored) -> None:
        limit = self.config.dead_letter_count
        if limit and message.deliveries >= limit:
            message.dead = True
        else:
            bisect.insort(self._ready.setdefault(message.channel, []), message.key)

    def _visible(self, channel: str | None) -> list[Stored]:
        """What waits in a channel, oldest first."""
        return [self._messages[key] for key in self._ready.get(channel, ())]

    def _random_channel(self) -> list[Stored]:
        # Chance is asked only where there is a choice to record, and channels have an order that time can't change.
        channels = sorted((channel for channel, ready in self._ready.items() if ready), key=lambda name: name or "")
        return self._visible(self._random.choice(channels)) if channels else []

    def _count(self, now: float, channel: str | None, *, dead: bool) -> Count:
        self._catch_up(now)
        counted = list(self._of(channel, dead=dead))
        visible = sum(message.dead or message.visible_at <= now for message in counted)
        return Count(visible, len(counted) - visible, sum(message.size_bytes for message in counted))

    def _of(self, channel: str | None, *, dead: bool) -> Iterator[Stored]:
        for message in self._messages.values():
            if message.dead == dead and (channel is None or message.channel == channel):
                yield message


def _is_receipt(receipt: str) -> bool:
    try:
        return base64.b64decode(receipt, altchars=b"-_", validate=True).startswith(b"r1")
    except ValueError:
        return False
