"""A broker in a directory: one machine, any number of worker processes, no server.

Everything is an atomic rename and nothing is a lock, so a process that is stopped or killed at any instant keeps nobody
waiting: what it held comes back when its lease ends.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from transcriber_worker.brokers.base import DeadLetters, Delivery
from transcriber_worker.brokers.directory_audio import AudioShelf
from transcriber_worker.brokers.directory_inbox import Inbox, Waiting
from transcriber_worker.brokers.directory_layout import Entry, Spool, spool_errors, timed_entry
from transcriber_worker.brokers.directory_lease import Lease, Unreadable, sealed
from transcriber_worker.brokers.directory_letters import DirectoryDeadLetters, result_path
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.settings import DirectoryBrokerSettings

RESCAN_S = 5.0
"""A list of what waits serves this long: with 50,000 files in the inbox, reading it takes a good part of a second.
What comes back meanwhile, older than the rest, is seen that much later."""

REST = 10
"""However often it is asked, it spends no more than a tenth of the time on looking: thousands of files may lie in the
inbox that can't be taken yet."""


class DirectoryBroker:
    """A `Broker` over the spool `settings.path`, which is created where missing."""

    def __init__(self, settings: DirectoryBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._closed = threading.Event()
        self._leases: set[Lease] = set()
        self._leases_lock = threading.Lock()
        self._backlog: list[Waiting] = []
        self._scanned_at = self._returned_at = float("-inf")
        self._scan_took_s = 0.0
        with spool_errors():
            self._spool = Spool(settings.path.resolve())
            self._spool.create(clock.now())
        self._shelf = AudioShelf(self._spool, settings.lease_s, clock)
        self._inbox = Inbox(self._spool, settings.settle_s, self._shelf, clock)
        self._dead_letters = DirectoryDeadLetters(self._spool, clock)

    @property
    def dead_letters(self) -> DeadLetters:
        return self._dead_letters

    def receive(self, limit: int, wait_s: float) -> Sequence[Delivery]:
        deadline = self._clock.monotonic() + wait_s
        while limit > 0 and not self._closed.is_set():
            taken = self._take(limit)
            remaining_s = deadline - self._clock.monotonic()
            if taken or remaining_s <= 0:
                return taken
            self._clock.wait(self._closed, min(self._settings.poll_s, remaining_s))
        return ()

    def publish(self, body: bytes, headers: Mapping[str, str]) -> str:
        entry = Entry.new(int(self._clock.now() * 1000), enveloped=True)
        with spool_errors():
            self._spool.write(self._spool.inbox / entry.name, sealed(body, headers))
        return entry.message_id

    def announce(self, event_id: str, body: bytes, reply_to: str | None) -> None:
        if self._settings.results:
            path = result_path(self._spool, event_id, reply_to)
            with spool_errors():
                path.parent.mkdir(exist_ok=True)
                self._spool.write(path, body)

    def place(self, source: Path, name: str) -> ObjectUri:
        """Link (or copy) a local recording into audio/ under `name`, replacing one of that name; the caller publishes
        a request for it. Raises ValueError for a name that leaves audio/, FileNotFoundError without such a source."""
        source.resolve(strict=True)
        with spool_errors():
            return self._shelf.place(source, name)

    def close(self) -> None:
        self._closed.set()
        with self._leases_lock:
            leases = list(self._leases)
        failure: EnvironmentDown | None = None
        for lease in leases:
            try:
                lease.give_back()
            except EnvironmentDown as error:  # the others must not stay leased for this one
                failure = error
        if failure:
            raise failure

    def _take(self, limit: int) -> list[Lease]:
        taken: list[Lease] = []
        try:
            with spool_errors():
                self._return_due()
                if self._clock.monotonic() - self._scanned_at >= RESCAN_S:
                    self._scan()
                self._lease_oldest(limit, taken)
                if len(taken) < limit and self._clock.monotonic() - self._scanned_at >= REST * self._scan_took_s:
                    self._scan()
                    self._lease_oldest(limit, taken)
        except EnvironmentDown:
            if not taken:  # else the next call will say so; what is leased must get to the caller
                raise
        return taken

    def _scan(self) -> None:
        started = self._clock.monotonic()
        self._backlog = self._inbox.scan()
        self._scanned_at = self._clock.monotonic()
        self._scan_took_s = self._scanned_at - started

    def _lease_oldest(self, limit: int, taken: list[Lease]) -> None:
        while self._backlog and len(taken) < limit:
            entry = self._inbox.admit(self._backlog.pop())
            if entry is None:
                continue
            try:
                taken.append(self._lease(entry))
            except FileNotFoundError:
                continue  # another process was faster
            except Unreadable as error:
                emit(events.BROKER_ERROR, error=type(error).__name__, message=str(error))

    def _lease(self, entry: Entry) -> Lease:
        lease = Lease(self._spool, entry, self._settings.lease_s, self._clock, self._forget)
        with self._leases_lock:
            self._leases.add(lease)
        return lease

    def _forget(self, lease: Lease) -> None:
        with self._leases_lock:
            self._leases.discard(lease)

    def _return_due(self) -> None:
        """Bring back what is due: delays that are over, leases that ended, adoptions that stopped. Any process does it
        for all, and of two that try one rename wins."""
        if self._clock.monotonic() - self._returned_at < self._settings.poll_s:
            return
        self._returned_at = self._clock.monotonic()
        now_ms = int(self._clock.now() * 1000)
        for path in [*self._spool.leased.iterdir(), *self._spool.delayed.iterdir()]:
            named = timed_entry(path.name)
            if named is not None and named[0] <= now_ms:
                with suppress(FileNotFoundError):
                    path.rename(self._spool.inbox / named[1].name)
        self._shelf.recover()
