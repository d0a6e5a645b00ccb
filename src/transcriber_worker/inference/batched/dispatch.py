"""The engine's threads: rows of many files in, batches through the model, what was decoded back to its file."""

import threading
from dataclasses import replace

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import HandBack, WorkerBroken
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.base import Listener
from transcriber_worker.inference.batched.caps import Cap, Pace
from transcriber_worker.inference.batched.desk import Desk, Then
from transcriber_worker.inference.batched.gate import Gate
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import BatchModel, Decoded, Ranking, Row
from transcriber_worker.inference.batched.scheduler import Batch, Scheduler, Waiting
from transcriber_worker.observability.labels import Retry

_CLOSE_S = 5.0
_STRANGE_FILES = 8
"""Where so many files fail and nothing goes well in between, it is not the files."""

Rows = tuple[Waiting, ...]


class BatchDispatcher:
    """Decodes rows in batches on `workers` threads.

    `cap` bounds a batch by memory, `max_batch_s` by the time it is expected to take, `flush_s` how long it waits to
    become full; `share`: whether idle workers share out what waits, which pays on the CPU. Neither the model nor a
    `then` is called with a lock held.
    """

    def __init__(
        self,
        model: BatchModel,
        *,
        workers: int,
        cap: Cap,
        max_batch_s: float,
        flush_s: float,
        clock: Clock,
        meter: Meter,
        share: bool,
    ) -> None:
        self._model = model
        self._cap = cap
        self._pace = Pace(max_batch_s)
        self._clock = clock
        self._meter = meter
        self._lock = threading.Lock()
        self._scheduler = Scheduler(flush_s=flush_s, pace=self._pace, share=share)
        self._desks: dict[int, Desk] = {}
        self._failed: set[int] = set()
        """Files with a row that failed by itself since anything was decoded."""
        self._end: Exception | None = None
        """Why nothing is accepted any more."""
        self._gate = Gate()
        self._idle = workers
        self._wakes = [threading.Event() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(wake,), name=f"engine-{number}", daemon=True)
            for number, wake in enumerate(self._wakes)
        ]

    def start(self) -> None:
        self._meter.cap(self._cap.current)
        for thread in self._threads:
            thread.start()

    def open(self, listener: Listener) -> Desk:
        """Begin a file; raises `HandBack` after `close`, and what broke the engine if something did."""
        with self._lock:
            if self._end is not None:
                raise self._end
            ticket = self._scheduler.join(listener.priority, listener.deadline)
            desk = self._desks[ticket] = Desk(self, ticket, listener)
        listener.cancel.on_cancel(desk.cancelled)
        return desk

    def close(self) -> None:
        """Answer everything queued or in work with `HandBack`, and wait a little for the threads: one in the middle of
        a batch can't be asked to hurry."""
        self._finish(HandBack("the engine is stopping"))
        until = self._clock.monotonic() + _CLOSE_S
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, until - self._clock.monotonic()))

    def enqueue(self, desk: Desk, row: Row, then: Then, *, again: bool) -> None:
        """Queue a row of an open file."""
        with self._lock:
            if desk.error is None:
                waiting = self._scheduler.add(desk.ticket, _chosen_once(row), self._clock.monotonic(), again=again)
                desk.answers[waiting] = then
                self._changed()
                return
        desk.tell(then, desk.error)

    def end_desk(self, desk: Desk, error: Exception, *, leave: bool) -> None:
        """Answer all rows of a file with `error`, those of a running batch too, and all that it may still ask."""
        with self._lock:
            thens = self._take_back(desk, error)
            if leave:
                self._desks.pop(desk.ticket, None)
                self._scheduler.leave(desk.ticket)
            self._changed()
        for then in thens:
            desk.tell(then, error)

    def _finish(self, reason: Exception) -> None:
        """Nothing is decoded any more, because of `reason`; the first reason wins."""
        with self._lock:
            if self._end is None:
                self._end = reason
            ended = [(desk, self._take_back(desk, self._end)) for desk in self._desks.values()]
            self._changed()
        for desk, thens in ended:
            for then in thens:
                desk.tell(then, self._end)

    def _take_back(self, desk: Desk, error: Exception) -> list[Then]:
        """Under the lock: unqueue all of a file's rows, and return whom to tell."""
        if desk.error is None:
            desk.error = error
        if desk.ticket in self._desks:
            self._scheduler.drop(desk.ticket)
        thens = list(desk.answers.values())
        desk.answers.clear()
        return thens

    def _changed(self) -> None:
        """Under the lock: look again at what is to be done."""
        self._meter.queue(len(self._scheduler))
        for wake in self._wakes:
            wake.set()

    def _work(self, wake: threading.Event) -> None:
        try:
            while (batch := self._next(wake)) is not None:
                self._run(batch)
                del batch  # an idle worker holds on to nothing of files that may be gone
                with self._lock:
                    self._idle += 1
        except BaseException as error:  # a file must not wait for ever for a thread that is no more
            broken = WorkerBroken(f"the engine broke by a fault of its own: {error!r}")
            broken.__cause__ = error
            self._finish(broken)

    def _next(self, wake: threading.Event) -> Batch | None:
        while True:
            with self._lock:
                if self._end is not None:
                    return None
                now = self._clock.monotonic()
                batch = self._scheduler.next(now, self._cap.rows, self._idle)
                if batch is not None:
                    self._idle -= 1
                    self._meter.queue(len(self._scheduler))
                    return batch
                wake.clear()
                due = self._scheduler.due()
            if due is None:
                wake.wait()
            else:
                self._clock.wait(wake, due - now)

    def _run(self, batch: Batch) -> None:
        """Decode a batch; what fails is decoded again in smaller ones, so that only the row to blame fails."""
        self._meter.batch(len(batch.rows), batch.most, batch.waited_s)
        attempts: list[Rows] = [batch.rows]
        tried_alone: set[Waiting] = set()
        while attempts:
            rows, rest = self._fitting(attempts.pop())
            if rest:
                attempts.append(rest)
            if rows:
                attempts += reversed(self._attempt(rows, tried_alone))

    def _attempt(self, rows: Rows, tried_alone: set[Waiting]) -> list[Rows]:
        """Decode `rows`, and return what to try again. Outside the `except` clauses nothing must hold on to the error:
        its traceback keeps alive what the batch had allocated."""
        try:
            with self._gate.inside(alone=rows[0] in tried_alone):
                if self._fitting(rows)[0] != rows:
                    return [rows]  # something changed while it waited
                begun = self._clock.monotonic()
                decoded = self._decoded(rows)
                took_s = self._clock.monotonic() - begun
        except AcceleratorOutOfMemory as error:
            message = str(error)
        except WorkerBroken:
            return []
        except Exception as error:
            if len(rows) == 1:
                self._fail(rows[0], error)
                return []
            for _ in rows:
                self._meter.again(Retry.ALONE)
            return [(waiting,) for waiting in rows]
        else:
            self._fitted(rows, took_s)
            self._meter.tokens(sum(one.tokens for one in decoded))
            for waiting, outcome in zip(rows, decoded, strict=True):
                self._answer(waiting, outcome)
            return []
        return self._out_of_memory(rows, tried_alone, message)

    def _decoded(self, rows: Rows) -> list[Decoded]:
        """What breaks the engine ends it before the next batch goes in: a dead context may kill the process."""
        try:
            decoded = self._model.decode([waiting.row for waiting in rows])
        except WorkerBroken as error:
            self._finish(error)
            raise
        if len(decoded) != len(rows):
            raise RuntimeError(f"the model answered {len(decoded)} of {len(rows)} rows")
        return decoded

    def _fitted(self, rows: Rows, took_s: float) -> None:
        with self._lock:
            self._failed.clear()
            self._cap.went_well(len(rows), self._clock.monotonic())
            self._pace.took(rows[0].row.recipe, len(rows), _frames(rows), took_s)
            self._meter.cap(self._cap.current)

    def _out_of_memory(self, rows: Rows, tried_alone: set[Waiting], message: str) -> list[Rows]:
        """The same rows, to be decoded as the cap allows now. A row alone is tried twice, the second time with no other
        batch in memory: one of them may hold what it lacks, and CUDA may report one failure once more."""
        self._meter.out_of_memory()
        with self._lock:
            self._cap.out_of_memory(len(rows), self._clock.monotonic())
            self._meter.cap(self._cap.current)
        if len(rows) > 1:
            return [rows]
        if rows[0] in tried_alone:
            self._fail(rows[0], AcceleratorOutOfMemory(message))
            return []
        tried_alone.add(rows[0])
        return [rows]

    def _fitting(self, rows: Rows) -> tuple[Rows, Rows]:
        """Of those that still wait for an answer, as many as may be decoded together now, and the rest."""
        with self._lock:
            wanted = tuple(
                waiting for waiting in rows if (desk := self._desks.get(waiting.ticket)) and waiting in desk.answers
            )
            size = self._cap.rows(_frames(wanted)) if wanted else 0
        return wanted[:size], wanted[size:]

    def _fail(self, waiting: Waiting, error: Exception) -> None:
        """A row failed by itself. A model that fails whatever it is given must not cost the whole queue its jobs."""
        with self._lock:
            self._failed.add(waiting.ticket)
            broken = len(self._failed) >= _STRANGE_FILES
        self._answer(waiting, error)
        if broken:
            self._finish(WorkerBroken(f"the model failed for {_STRANGE_FILES} files one after another: {error}"))

    def _answer(self, waiting: Waiting, outcome: Decoded | Exception) -> None:
        """Give a row its answer, unless it was dropped meanwhile."""
        with self._lock:
            desk = self._desks.get(waiting.ticket)
            then = None if desk is None else desk.answers.pop(waiting, None)
        if desk is not None and then is not None:
            desk.tell(then, outcome)


def _frames(rows: Rows) -> int:
    """What a batch of these is padded to."""
    return max(waiting.row.frames for waiting in rows)


def _chosen_once(row: Row) -> Row:
    """The same row, whose language is asked for once though it may be decoded several times."""
    if row.language is not None:
        return row
    choose = row.choose_language
    chosen: list[str] = []

    def once(ranking: Ranking) -> str:
        if not chosen:
            chosen.append(choose(ranking))
        return chosen[0]

    return replace(row, choose_language=once)
