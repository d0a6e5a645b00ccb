"""How much lies in a spool, for whoever scales the workers."""

from pathlib import Path

from transcriber_worker.brokers.base import Backlog
from transcriber_worker.brokers.directory_audio import AudioShelf
from transcriber_worker.brokers.directory_inbox import Inbox
from transcriber_worker.brokers.directory_layout import Spool, spool_errors, timed_entry
from transcriber_worker.domain.clock import Clock
from transcriber_worker.settings import DirectoryBrokerSettings


class DirectoryBacklog:
    """A `BacklogReader` over a spool, which it leaves as it is; one that no worker has made yet is no empty one."""

    def __init__(self, settings: DirectoryBrokerSettings, clock: Clock) -> None:
        self._spool = Spool(settings.path.resolve())
        shelf = AudioShelf(self._spool, settings.lease_s, clock)
        self._inbox = Inbox(self._spool, settings.settle_s, shelf, clock)
        self._clock = clock

    def read(self) -> Backlog:
        with spool_errors():
            # The inbox first: what is leased meanwhile counts twice for a moment, which wakes a worker too many; the
            # other way round it would not count at all, and a worker be ended in the middle of it.
            waiting = len(self._inbox.scan())
            delayed = sum(1 for _ in _timed(self._spool.delayed)) + sum(1 for _ in _timed(self._spool.adopting))
            leases = list(_timed(self._spool.leased))
            held = sum(1 for end_ms in leases if end_ms > self._clock.now() * 1000)
            return Backlog(
                waiting=waiting + delayed + len(leases) - held,  # a lease that ended comes back with the next look
                in_flight=held,
            )

    def close(self) -> None:
        """Nothing is held."""


def _timed(folder: Path) -> list[int]:
    """The moments (Unix ms) in the names of a folder's messages."""
    return [named[0] for path in folder.iterdir() if (named := timed_entry(path.name)) is not None]
