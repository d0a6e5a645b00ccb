"""The engine's threads: several files at once, each file's windows in order, a fair pick between files."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Self

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.errors import HandBack, WorkerBroken
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.base import Listener
from transcriber_worker.inference.rota import Rota

_CLOSE_S = 5.0

Check = Callable[[], None]
"""Raises where the work is not wanted any more; to be called between steps."""

Hear = Callable[[Window, Check], HeardWindow]
"""What an engine does with one window of one file. Calls for one file never overlap."""


class Dispatcher:
    """Runs `Hear` functions on `workers` threads. A file is with one thread at a time."""

    def __init__(self, workers: int) -> None:
        self._changed = threading.Condition()
        self._rota = Rota()
        self._files: dict[int, QueuedFile] = {}
        self._end: Exception | None = None
        """Why nothing is accepted any more."""
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True) for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def open(self, listener: Listener, hear: Hear) -> "QueuedFile":
        """Begin a file; raises `HandBack` after `close`, and what broke the engine if something did."""
        with self._changed:
            if self._end is not None:
                raise self._end
            ticket = self._rota.join(listener.priority, listener.deadline)
            file = self._files[ticket] = QueuedFile(self, ticket, listener, hear)
        listener.cancel.on_cancel(file.drop)
        return file

    def close(self) -> None:
        """Fail what is queued, stop what runs at its next step, and wait a little for the threads: one in the middle
        of a step of the model library can't be asked to hurry."""
        self._finish(HandBack("the engine is stopping"))
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(_CLOSE_S)

    def enqueue(self, file: "QueuedFile", window: Window, future: Future[HeardWindow]) -> None:
        """Queue a window of an open file."""
        with self._changed:
            if self._end is None and not file.left:
                file.queue.append((window, future))
                self._changed.notify()
                return
            error = self._end
        _fail([future], error)

    def take_back(self, file: "QueuedFile") -> list[Future[HeardWindow]]:
        """Unqueue all windows of a file."""
        with self._changed:
            futures = [future for _, future in file.queue]
            file.queue.clear()
        return futures

    def remove(self, file: "QueuedFile") -> None:
        """Forget a file."""
        with self._changed:
            file.left = True
            self._files.pop(file.ticket, None)
            self._rota.leave(file.ticket)

    @property
    def end(self) -> Exception | None:
        return self._end

    def _finish(self, reason: Exception) -> None:
        with self._changed:
            if self._end is None:
                self._end = reason
            futures = [future for file in self._files.values() for _, future in file.queue]
            for file in self._files.values():
                file.queue.clear()
            self._changed.notify_all()
        _fail(futures, self._end)

    def _work(self) -> None:
        while (task := self._next()) is not None:
            file, window, future = task
            if future.set_running_or_notify_cancel():
                self._run(file, window, future)
            with self._changed:
                file.busy = False
                self._changed.notify()

    def _next(self) -> "tuple[QueuedFile, Window, Future[HeardWindow]] | None":
        with self._changed:
            while self._end is None:
                ticket = self._rota.pick(t for t, file in self._files.items() if file.queue and not file.busy)
                if ticket is not None:
                    file = self._files[ticket]
                    file.busy = True
                    return file, *file.queue.popleft()
                self._changed.wait()
            return None

    def _run(self, file: "QueuedFile", window: Window, future: Future[HeardWindow]) -> None:
        try:
            file.check()
            heard = file.hear(window, file.check)
        except BaseException as error:  # whatever happened belongs to whoever asked, not to this thread
            if isinstance(error, WorkerBroken):
                self._finish(error)
            future.set_exception(error)
        else:
            future.set_result(heard)


class QueuedFile:
    """One open file: a `Hearing`."""

    def __init__(self, dispatcher: Dispatcher, ticket: int, listener: Listener, hear: Hear) -> None:
        self._dispatcher = dispatcher
        self._cancel = listener.cancel
        self.ticket = ticket
        self.hear = hear
        self.queue: deque[tuple[Window, Future[HeardWindow]]] = deque()
        self.busy = False
        self.left = False

    def submit(self, window: Window) -> Future[HeardWindow]:
        future: Future[HeardWindow] = Future()
        self._dispatcher.enqueue(self, window, future)
        if self._cancel.cancelled:  # looked at after queueing: a cancellation in between would miss the window
            self.drop()
        return future

    def finish(self) -> None:
        """Each window is heard by itself: nothing waits for the end."""

    def check(self) -> None:
        """Raise where this file's work is not wanted any more."""
        self._cancel.raise_if_cancelled()
        if self._dispatcher.end is not None:
            raise self._dispatcher.end
        if self.left:
            raise HandBack("the file was closed while its windows were being heard")

    def drop(self) -> None:
        """Fail what is queued with the reason of the cancellation; without one, cancel it."""
        futures = self._dispatcher.take_back(self)
        error: Exception | None = None
        if self._cancel.cancelled:
            try:
                self._cancel.raise_if_cancelled()
            except Exception as reason:
                error = reason
        _fail(futures, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._dispatcher.remove(self)
        self.drop()


def _fail(futures: Iterable[Future[HeardWindow]], error: Exception | None) -> None:
    """Outside any lock: a future's callbacks may come back to the engine."""
    for future in futures:
        if error is None:
            future.cancel()
        elif future.set_running_or_notify_cancel():
            future.set_exception(error)
