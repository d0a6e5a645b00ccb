"""Reader processes: one spawned ahead, one for each file being read, never more than there are places."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import RetryJob
from transcriber_worker.media.base import MediaRequest, MediaStream, WindowLimits
from transcriber_worker.media.desk import Desk
from transcriber_worker.media.permits import CpuPermits
from transcriber_worker.media.places import STOPPING, Places
from transcriber_worker.media.process import ReaderProcess
from transcriber_worker.media.protocol import max_payload_bytes
from transcriber_worker.media.stream import ReaderStream
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.settings import MediaSettings


class MediaPool:
    """A `MediaReader` whose files are each parsed in a sandboxed process of their own.

    `limits`: the windows that the engine takes; `cores`: processors this worker may use. At most `media.processes`
    files are being read at once, and a short one beside them; `open` waits until it is its file's turn.
    """

    def __init__(self, settings: MediaSettings, limits: WindowLimits, cores: int, clock: Clock) -> None:
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._places = Places(max(2, 2 * cores) if settings.processes == "auto" else settings.processes)
        self._permits = CpuPermits(max(1, cores - 1) if settings.cpu_permits == "auto" else settings.cpu_permits)
        self._lock = threading.Lock()
        self._alive: set[ReaderProcess] = set()
        self._protections: tuple[str, ...] | None = None
        self._spawner = _Spawner(self._start_process)
        self._ahead = self._spawner.spawn()

    def open(self, request: MediaRequest) -> MediaStream:
        desk = Desk(self._places, self._ready_process, self._end, request.cancel)
        stream = ReaderStream(request, desk, self._permits, self._settings, self._limits)
        try:
            stream.begin()
        except BaseException:
            stream.__exit__()
            raise
        return stream

    def close(self) -> None:
        self._places.close()
        self._spawner.close()
        with self._lock:
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
        with self._lock:
            return tuple(sorted(process.pid for process in self._alive))

    def _ready_process(self) -> ReaderProcess:
        """The process spawned ahead, or a fresh one where something killed that while it waited."""
        with self._lock:
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
            protections = process.wait_ready().protections
        except BaseException:
            self._end(process)
            raise
        if self._protections is None:
            emit(
                events.MEDIA_SANDBOX,
                no_network="no_network" in protections,
                system_call_filter="system_call_filter" in protections,
            )
        self._protections = protections
        return process

    def _start_process(self) -> ReaderProcess:
        process = ReaderProcess(self._settings, max_payload_bytes(self._limits), self._clock)
        with self._lock:
            self._alive.add(process)
        return process

    def _end(self, process: ReaderProcess) -> None:
        try:
            process.close()
        finally:
            with self._lock:
                self._alive.discard(process)


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
                raise RetryJob(STOPPING)
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
