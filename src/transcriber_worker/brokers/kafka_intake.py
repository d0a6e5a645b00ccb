"""What one worker has fetched: what waits, what is held, what is with jobs, and how far each partition may be
committed. No client in here: the poll thread brings and asks, jobs take and end, one lock between them."""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from transcriber_worker.brokers.kafka_messages import Parcel
from transcriber_worker.brokers.kafka_tracker import PartitionTracker
from transcriber_worker.domain.clock import Clock
from transcriber_worker.settings import KafkaBrokerSettings

MOST_BYTES = 64 * 1024 * 1024
"""Of bodies fetched ahead or held, whatever their number."""
HELD_FACTOR = 4
"""Messages held for a while may be this many times those fetched ahead: they must not close the intake to others."""
LEAST_HOLD_S = 1.0
"""A message that is not due is not sent round faster than this, whatever `hold_s` says."""
MOST_DONE = 20_000
"""Ends remembered; those of partitions that never return fall out in the end."""


@dataclass(slots=True)
class _Partition:
    tracker: PartitionTracker = field(default_factory=PartitionTracker)
    committed: int | None = None
    """Everything before this offset need not be committed again."""


class Intake:
    """The fetched messages of a worker's partitions. Thread-safe. A parcel is open from `take` until `finish` or
    `put_back`; while it is open its offset is not delivered a second time, wherever its partition went meanwhile."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}
        self._ready: deque[Parcel] = deque()
        self._held: list[Parcel] = []
        self._early: list[Parcel] = []
        self._open: dict[tuple[int, int], Parcel] = {}
        self._done: dict[tuple[int, int, int], None] = {}
        """What was finished while it was ours, and perhaps not committed, by partition, offset and timestamp, oldest
        first: it is not begun again when its partition was away for a moment."""
        self._shut = False
        self._polled_at = float("-inf")
        self.arrived = threading.Event()
        """Set when there may be something to take."""
        self.room = threading.Event()
        """Set while more may be fetched."""
        self.room.set()

    def assign(self, partitions: Iterable[int]) -> None:
        """These are ours from now on; they are read from what was committed."""
        with self._lock:
            for partition in partitions:
                self._partitions[partition] = _Partition()

    def revoke(self, partitions: Collection[int]) -> None:
        """These are somebody else's. What was fetched of them and not taken is dropped: their new owner gets it."""
        with self._lock:
            for partition in partitions:
                self._partitions.pop(partition, None)
            self._ready = deque(parcel for parcel in self._ready if parcel.partition not in partitions)
            self._held = [parcel for parcel in self._held if parcel.partition not in partitions]
            self._early = [parcel for parcel in self._early if parcel.partition not in partitions]
            self._look_for_room()

    def restart(self, partition: int, offset: int) -> None:
        """A partition goes on at another offset than it had come to. Ahead of it, what was fetched stays good; behind
        it, the topic is no longer the one that we knew."""
        with self._lock:
            mine = self._partitions.get(partition)
            behind = mine is not None and offset < mine.tracker.next_offset
        if behind:
            self.revoke([partition])
            self.assign([partition])

    def put(self, parcel: Parcel) -> None:
        """A message was fetched; `tell_of_arrivals` follows the last one that came with it."""
        with self._lock:
            mine = self._partitions.get(parcel.partition)
            if mine is None or not mine.tracker.deliver(parcel.offset):
                return
            if mine.committed is None:
                mine.committed = parcel.offset
            running = self._open.get((parcel.partition, parcel.offset))
            if running is not None and running.timestamp_ms == parcel.timestamp_ms:
                return  # its first delivery goes on, and ends it here too
            # One that is open under this offset is of a topic that is no more: its end must not count for this one.
            self._open.pop((parcel.partition, parcel.offset), None)
            if (parcel.partition, parcel.offset, parcel.timestamp_ms) in self._done:
                mine.tracker.finish(parcel.offset)
                return
            if parcel.not_before is not None and parcel.not_before > self._clock.now():
                longest_s = max(self._settings.hold_s, LEAST_HOLD_S)
                self._hold(parcel, min(parcel.not_before - self._clock.now(), longest_s))
            else:
                self._ready.append(parcel)
            self._look_for_room()

    def tell_of_arrivals(self) -> None:
        """Everything that the client had to say has been heard: wake who waits for messages, once for all that came
        together."""
        with self._lock:
            self._polled_at = self._clock.monotonic()
            if self._ready or self._held:
                self.arrived.set()

    def take(self, limit: int) -> list[Parcel]:
        """Up to `limit` messages that may be tried now. None while the poll thread is behind by a session: its
        partitions may be somebody else's by now."""
        with self._lock:
            self._release()
            behind = self._is_behind()
            taken = [] if behind else [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
            for parcel in taken:
                self._open[parcel.partition, parcel.offset] = parcel
            if behind or not self._ready:
                self.arrived.clear()
            self._look_for_room()
            return taken

    def next_due_s(self) -> float | None:
        """Seconds until a held message may be tried; None where none is held."""
        with self._lock:
            due = min((parcel.wait_until for parcel in self._held), default=None)
            return None if due is None else max(0.0, due - self._clock.monotonic())

    def owns(self, parcel: Parcel) -> bool:
        """Whether ending this message has any effect here."""
        with self._lock:
            return self._is_open(parcel) and parcel.partition in self._partitions

    def finish(self, parcel: Parcel) -> None:
        """Done for good; counts where its partition is ours."""
        with self._lock:
            self._close(parcel)

    def put_back(self, parcel: Parcel, delay_s: float) -> None:
        """To be tried again here after `delay_s`, as long as its partition is ours."""
        with self._lock:
            if not self._is_open(parcel):
                return
            del self._open[parcel.partition, parcel.offset]
            if parcel.partition not in self._partitions:
                return
            if delay_s > 0:
                self._hold(parcel, delay_s)
            else:
                self._ready.appendleft(parcel)
        self.arrived.set()

    def take_early(self) -> list[Parcel]:
        """Messages that were held for as long as may be and are still not due; open like taken ones."""
        with self._lock:
            self._release()
            taken, self._early = self._early, []
            for parcel in taken:
                self._open[parcel.partition, parcel.offset] = parcel
            self._look_for_room()
            return taken

    def commits(self) -> dict[int, int]:
        """The offsets to commit, by partition, where there is news."""
        with self._lock:
            return {
                number: position
                for number, mine in self._partitions.items()
                if (position := mine.tracker.position) is not None and position > (mine.committed or 0)
            }

    def committed(self, offsets: Mapping[int, int]) -> None:
        """The broker has these."""
        with self._lock:
            for number, offset in offsets.items():
                mine = self._partitions.get(number)
                if mine is not None and mine.committed is not None:
                    mine.committed = max(mine.committed, offset)
            self._done = {key: None for key in self._done if key[1] >= offsets.get(key[0], 0)}

    def positions(self) -> dict[int, int | None]:
        """The partitions, and the first offset of each that is not finished; None before its first message."""
        with self._lock:
            return {number: mine.tracker.position for number, mine in self._partitions.items()}

    def closed_partitions(self) -> frozenset[int]:
        """The partitions of which nothing more should be fetched now."""
        with self._lock:
            if self._shut:
                return frozenset(self._partitions)
            return frozenset(number for number, mine in self._partitions.items() if self._is_stretched(mine))

    def is_closed(self, partition: int) -> bool:
        """Whether nothing more of this partition should be fetched now."""
        with self._lock:
            mine = self._partitions.get(partition)
            return self._shut or (mine is not None and self._is_stretched(mine))

    def shut(self) -> None:
        """Nothing more should be fetched until half of what is ready was taken: to begin again takes a client a second,
        so it is not done for a moment's want of room."""
        with self._lock:
            self._shut = not self.room.is_set()

    def _is_stretched(self, mine: _Partition) -> bool:
        return mine.tracker.span >= self._settings.max_uncommitted_span

    def _look_for_room(self) -> None:
        bound = self._settings.max_buffered
        ready, held = len(self._ready), len(self._held)
        if ready >= bound or held >= HELD_FACTOR * bound or self._bytes() >= MOST_BYTES:
            self.room.clear()
        else:
            self.room.set()
            if ready <= bound // 2:
                self._shut = False

    def _bytes(self) -> int:
        return sum(len(parcel.message.body) for group in (self._ready, self._held, self._early) for parcel in group)

    def _hold(self, parcel: Parcel, delay_s: float) -> None:
        parcel.wait_until = self._clock.monotonic() + delay_s
        self._held.append(parcel)

    def _release(self) -> None:
        """Held messages whose time has come go before the others."""
        now = self._clock.monotonic()
        due = [parcel for parcel in self._held if parcel.wait_until <= now]
        if not due:
            return
        self._held = [parcel for parcel in self._held if parcel.wait_until > now]
        for parcel in sorted(due, key=lambda parcel: parcel.wait_until, reverse=True):
            if parcel.not_before is not None and parcel.not_before > self._clock.now():
                self._early.append(parcel)
            else:
                parcel.not_before = None
                self._ready.appendleft(parcel)

    def _is_open(self, parcel: Parcel) -> bool:
        return self._open.get((parcel.partition, parcel.offset)) is parcel

    def _close(self, parcel: Parcel) -> None:
        if not self._is_open(parcel):
            return
        del self._open[parcel.partition, parcel.offset]
        mine = self._partitions.get(parcel.partition)
        if mine is None:
            return
        mine.tracker.finish(parcel.offset)
        if not self._is_behind():
            self._done[parcel.partition, parcel.offset, parcel.timestamp_ms] = None
            if len(self._done) > MOST_DONE:
                del self._done[next(iter(self._done))]

    def _is_behind(self) -> bool:
        return self._clock.monotonic() - self._polled_at > self._settings.session_timeout_s
