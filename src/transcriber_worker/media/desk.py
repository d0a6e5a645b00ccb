"""One file's place among the readers, and its process there."""

from collections.abc import Callable

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.media.places import Place, Places
from transcriber_worker.media.process import ReaderProcess


class Desk:
    """Where a file is read: at most one process at a time, and no longer than it has a place. Used by one thread, but
    for `kill`."""

    def __init__(
        self,
        places: Places,
        ready_process: Callable[[], ReaderProcess],
        end: Callable[[ReaderProcess], None],
        cancel: CancelToken,
    ) -> None:
        self._places = places
        self._ready_process = ready_process
        self._end = end
        self._cancel = cancel
        self._turn = places.arrive()
        self._process: ReaderProcess | None = None
        cancel.on_cancel(places.look_again)

    @property
    def process(self) -> ReaderProcess:
        """The process that reads the file now."""
        if self._process is None:
            raise RuntimeError("nobody reads the file")
        return self._process

    @property
    def reserved(self) -> bool:
        """Whether it has the place that only short files can keep."""
        return self._turn.place is Place.RESERVED

    def sit(self) -> None:
        """Wait for a place and a process that is ready for the file. Raises the token's error, `RetryJob`,
        `WorkerBroken`."""
        self._places.take(self._turn, self._cancel)
        try:
            self._process = self._ready_process()
            self._cancel.raise_if_cancelled()
        except BaseException:
            self.leave()
            raise

    def stay(self) -> bool:
        """The file turned out to be long: may it go on where it is?"""
        return self._places.keep(self._turn)

    def leave(self) -> None:
        """End the process and give up the place, if there are any."""
        process, self._process = self._process, None
        try:
            if process is not None:
                self._end(process)
        finally:
            self._places.leave(self._turn)

    def kill(self, why: str) -> None:
        """End the process now, from any thread."""
        process = self._process
        if process is not None:
            process.kill(why)
