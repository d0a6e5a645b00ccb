"""SIGTERM and SIGINT: the first drains, the second hands back at once."""

import signal
from types import FrameType


class StopRequest:
    """Whether the worker was told to stop, and how urgently. Handlers only set flags: no lock is taken in one."""

    def __init__(self) -> None:
        self._count = 0
        self.signal: str | None = None

    @property
    def requested(self) -> bool:
        return self._count > 0

    @property
    def urgent(self) -> bool:
        return self._count > 1

    def stop(self, name: str) -> None:
        """As if a signal of that name had come."""
        self._count += 1
        self.signal = name

    def install(self) -> None:
        """Listen to the process's signals from now on; main thread only."""

        def handle(number: int, _frame: FrameType | None) -> None:
            self.stop(signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)
