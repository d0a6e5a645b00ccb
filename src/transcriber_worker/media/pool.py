"""Reader processes: one spawned ahead, one for each file being read, never more than allowed."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.media.base import MediaRequest, MediaStream
from transcriber_worker.media.permits import CpuPermits
from transcriber_worker.media.process import ReaderProcess
from transcriber_worker.media.protocol import max_payload_bytes
from transcriber_worker.media.stream import ReaderStream
from transcriber_worker.settings import MediaSettings

_STOPPING = "The worker is stopping."


class MediaPool:
    """A `MediaReader` whose files are each parsed in a sandboxed process of their own.

    `max_window_s`: the longest window the engine takes; `cores`: processors this worker may use. `open` waits while as
    many files are being read as `media.processes` allows.
    """

    def __init__(self, settings: MediaSettings, max_window_s: float, cores: int, clock: Clock) -> None:
        self._settings = settings
        self._max_window_s = max_window_s
        self._clock = clock
        self._max_files = max(2, 2 * cores) if settings.processes == "auto" else settings.processes
        self._permits = CpuPermits(max(1, cores - 1) if settings.cpu_permits == "auto" else settings.cpu_permits)
        self._condition = threading.Condition()
        self._files = 0
        self._closed = False
        self._alive: set[ReaderProcess] = set()
        self._protections: tuple[str, ...] | None = None
        self._spawner = _Spawner(self._start_process)
        self._ahead = self._spawner.spawn()

    def open(self, request: MediaRequest) -> MediaStream:
        self._enter(request.cancel)
        try:
            process = self._ready_process()
        except BaseException:
            self._leave()
            raise
        stream = ReaderStream(
            request, process, self._permits, self._settings, self._max_window_s, lambda: self._done_with(process)
        )
        try:
            stream.begin()
        except BaseException:
            stream.__exit__()
            raise
        return stream

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._spawner.close()
        with self._condition:
            alive = tuple(self._alive)
        for process in alive:
            process.kill("the worker is stopping")
        if not self._ahead.cancelled() and self._ahead.exception() is None:
            self._end(self._ahead.result())

    @property
    def protections(self) -> tuple[str, ...] | None:
        """The optional protections that hold on this machine (`no_network`, `system_call_filter`); None before the
        first child was ready."""
        return self._protections

    def child_pids(self) -> tuple[int, ...]:
        """Processes alive now, the one spawned ahead among them."""
        with self._condition:
            return tuple(sorted(process.pid for process in self._alive))

    def _enter(self, cancel: CancelToken) -> None:
        cancel.on_cancel(self._look_again)
        with self._condition:
            self._condition.wait_for(lambda: cancel.cancelled or self._closed or self._files < self._max_files)
            cancel.raise_if_cancelled()
            if self._closed:
                raise RetryJob(_STOPPING)
            self._files += 1

    def _leave(self) -> None:
        with self._condition:
            self._files -= 1
            self._condition.notify_all()

    def _look_again(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _ready_process(self) -> ReaderProcess:
        """The process spawned ahead, or a fresh one where something killed that while it waited."""
        with self._condition:
            ahead, self._ahead = self._ahead, self._spawner.spawn()
        try:
            return self._await_ready(ahead)
        except RetryJob:
            return self._await_ready(self._spawner.spawn())

    def _await_ready(self, spawned: Future[ReaderProcess]) -> ReaderProcess:
        try:
            process = spawned.result()
        except OSError as error:
            raise RetryJob(f"The media reader could not be started: {error.strerror}.") from error
        try:
            self._protections = process.wait_ready().protections
        except BaseException:
            self._end(process)
            raise
        return process

    def _start_process(self) -> ReaderProcess:
        process = ReaderProcess(self._settings, max_payload_bytes(self._max_window_s), self._clock)
        with self._condition:
            self._alive.add(process)
        return process

    def _end(self, process: ReaderProcess) -> None:
        try:
            process.close()
        finally:
            with self._condition:
                self._alive.discard(process)

    def _done_with(self, process: ReaderProcess) -> None:
        try:
            self._end(process)
        finally:
            self._leave()


class _Spawner:
    """One thread that starts all processes: the kernel ends a child with the thread that started it, and a job's thread
    may end before the child that it had spawned ahead."""

    def __init__(self, start: Callable[[], ReaderProcess]) -> None:
        self._start = start
        self._asked: queue.SimpleQueue[Future[ReaderProcess] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="media-spawner", daemon=True)
        self._thread.start()

    def spawn(self) -> Future[ReaderProcess]:
        """A new process, soon; raises RetryJob after `close`."""
        with self._lock:
            if self._closed:
                raise RetryJob(_STOPPING)
            future: Future[ReaderProcess] = Future()
            self._asked.put(future)
        return future

    def close(self) -> None:
        """Start nothing more; what was asked for is there when this returns."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (future := self._asked.get()) is not None:
            try:
                future.set_result(self._start())
            except Exception as error:
                future.set_exception(error)
