"""One file's conversation with the batching engine: its windows' rows out, its words back in the order of the file."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol, Self

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Window
from transcriber_worker.domain.errors import HandBack, RejectJob, RetryJob, WorkerBroken
from transcriber_worker.domain.transcript import HeardWindow, Segment
from transcriber_worker.inference.base import Listener
from transcriber_worker.inference.batched.errands import Errands
from transcriber_worker.inference.batched.language import SURE, UNKNOWN, ChannelLanguage, Tongue, best
from transcriber_worker.inference.batched.lengths import frames_for
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.prompts import Prompt
from transcriber_worker.inference.batched.rows import Decoded, Ranking, Row
from transcriber_worker.inference.batched.seats import Channel, Known, Seat
from transcriber_worker.inference.batched.window_work import WindowWork
from transcriber_worker.inference.seams import NO_SEAM, trimmed
from transcriber_worker.inference.speech import has_context
from transcriber_worker.observability import events
from transcriber_worker.observability.labels import Retry, Stage
from transcriber_worker.observability.logging import emit

Outcome = Decoded | Exception
Padding = Literal["full", "adaptive"]


class RowDesk(Protocol):
    """Where a file hands in its rows."""

    def decode(self, row: Row, then: Callable[[Outcome], None], *, again: bool = False) -> None:
        """Queue a row, before the file's other ones where it is a window's further one; `then` is called once, from any
        thread, perhaps before this returns."""
        ...

    def leave(self) -> None:
        """Drop what is queued; nothing more is handed in."""
        ...


class FileHearing:
    """A `Hearing`. Windows are decoded in any order and company; each is answered once those before it in its channel
    are, so that a word heard on both sides of a cut counts once. Thread-safe.

    `left` is told when the file is closed. Under the lock is only noted what is to be done: rows are handed in and
    futures answered outside it, since both may come back here.
    """

    def __init__(
        self,
        desk: RowDesk,
        listener: Listener,
        *,
        prompt: Prompt,
        padding: Padding,
        meter: Meter,
        left: Callable[["FileHearing"], None],
    ) -> None:
        self._desk = desk
        self._cancel = listener.cancel
        self._options = listener.options
        self._prompt = prompt
        self._padding: Padding = padding
        self._meter = meter
        self._left = left
        known = self._options.known_language
        self._given = Tongue(known, 1.0) if known else None
        self._mixed = self._options.mixed and self._given is None
        self._lock = threading.Lock()
        self._errands = Errands()
        self._channels: dict[int | None, Channel] = {}
        self._submitted = 0
        self._end: Exception | None = None
        """Why nothing more is heard of this file."""
        self._cancel.on_cancel(self._cancelled)

    def submit(self, window: Window) -> Future[HeardWindow]:
        future: Future[HeardWindow] = Future()
        with self._lock:
            if self._end is None:
                self._submit(window, future)
            else:
                self._answer(future, self._end)
        self._errands.run()
        return future

    def finish(self) -> None:
        """No window follows: what waits for the languages of later ones waits no longer."""
        with self._lock:
            for channel in self._channels.values():
                channel.language.none_follow()
                self._advance(channel)
        self._errands.run()

    def fail(self, error: Exception) -> None:
        """End the file: everything not answered yet fails with `error`."""
        with self._lock:
            self._fail(error)
        self._errands.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.fail(HandBack("the file was closed while its windows were being heard"))
        self._desk.leave()
        self._left(self)

    def _cancelled(self) -> None:
        try:
            self._cancel.raise_if_cancelled()
        except Exception as reason:
            self.fail(reason)

    def _answered(self, channel: Channel, seat: Seat, passage: Passage, outcome: Outcome) -> None:
        """What the desk has to say of a row."""
        with self._lock:
            if self._end is None and not seat.over:
                self._take_in(channel, seat, passage, outcome)
                self._advance(channel)
        self._errands.run()

    # From here on, all under the lock.

    def _submit(self, window: Window, future: Future[HeardWindow]) -> None:
        self._submitted += 1
        unheard = Channel(ChannelLanguage(self._options.languages, self._given))
        channel = self._channels.setdefault(window.channel, unheard)
        adaptive, mixed = self._padding == "adaptive", self._options.mixed
        try:
            work = WindowWork(window, adaptive=adaptive, echoed=self._prompt.echoed, mixed=mixed)
            passages = work.begin()
        except Exception as error:  # a window that can't even be looked at harms no other one
            self._answer(future, error)
        else:
            ballot = channel.language.join(self._submitted) if passages else None
            channel.seats.append(Seat(window, work, future, passages, ballot))
        for each in self._channels.values():
            each.language.reached(self._submitted)
            self._advance(each)

    def _take_in(self, channel: Channel, seat: Seat, passage: Passage, outcome: Outcome) -> None:
        leading = seat.known is Known.LEADING
        # A cancelled file's rows come back with the reason, perhaps before the token tells this one.
        if isinstance(outcome, HandBack | WorkerBroken) or (isinstance(outcome, Exception) and self._cancel.cancelled):
            self._fail(outcome)
        elif isinstance(outcome, RejectJob | RetryJob):
            self._give_up(channel, seat, outcome)
        elif isinstance(outcome, Decoded) and not leading:
            self._hear(channel, seat, passage, outcome)
        elif isinstance(outcome, Decoded):
            seat.known, seat.lead = Known.LED, (passage, outcome)
            if seat.ballot is not None:
                channel.language.cast(seat.ballot, outcome.ranking)
        else:
            emit(events.UNEXPECTED_ERROR, stage=Stage.TRANSCRIBE.value, exc_info=outcome)
            seat.waiting = seat.work.failed(passage, outcome) + seat.waiting
            if leading:
                seat.known = Known.WAITING
                if seat.ballot is not None:
                    channel.language.cast(seat.ballot, ())

    def _advance(self, channel: Channel) -> None:
        """Do whatever can be done now that more is known."""
        due = channel.language.due()
        decided = channel.language.decided
        for seat in channel.seats:
            if seat.over:
                continue
            if seat.known is Known.WAITING and seat.waiting:
                if seat.ballot in due or (self._mixed and decided is not None):
                    self._hand_in(channel, seat, seat.take_lead(), None, decided)
                elif decided is not None:
                    seat.known, seat.tongue = Known.OPEN, decided
            elif seat.lead is not None:
                self._open(channel, seat, *seat.lead, decided)
            if seat.tongue is not None:
                for passage in seat.take_waiting():
                    language = None if self._mixed else seat.tongue.language
                    self._hand_in(channel, seat, passage, language, seat.tongue)
        self._answer_in_order(channel)

    def _open(self, channel: Channel, seat: Seat, passage: Passage, decoded: Decoded, decided: Tongue | None) -> None:
        """Go on with a window whose first passage was heard in the language it sounds like, if the right one is known
        by now; else later."""
        own = best(decoded.ranking, self._options.languages)
        tongue = own if self._mixed and own.probability >= SURE else decided
        if tongue is None:
            return
        seat.known, seat.lead, seat.tongue = Known.OPEN, None, tongue
        if tongue.language in (decoded.language, None):
            self._hear(channel, seat, passage, decoded)
        else:
            self._meter.again(Retry.LANGUAGE)
            self._hand_in(channel, seat, passage, None if self._mixed else tongue.language, tongue)

    def _hand_in(
        self, channel: Channel, seat: Seat, passage: Passage, language: str | None, otherwise: Tongue | None
    ) -> None:
        """Note that a passage is to be decoded in `language`. None: the one it sounds like; `otherwise` where there is
        one, unless languages are mixed and it is sure of its own."""
        again, seat.begun = seat.begun, True
        samples = round(passage.duration_s * SAMPLE_RATE_HZ)
        frames = frames_for(samples, "full" if passage.full_length else self._padding)

        def errand() -> None:
            row = passage.row(
                frames=frames,
                task=self._options.task,
                prompt=self._prompt.tokens,
                language=language,
                choose_language=partial(self._choose, otherwise),
            )
            self._desk.decode(row, partial(self._answered, channel, seat, passage), again=again)

        self._errands.note(errand)

    def _choose(self, otherwise: Tongue | None, ranking: Ranking) -> str:
        own = best(ranking, self._options.languages)
        if otherwise is not None and otherwise.language is not None and not (self._mixed and own.probability >= SURE):
            return otherwise.language
        return own.language or ranking[0][0]

    def _hear(self, channel: Channel, seat: Seat, passage: Passage, decoded: Decoded) -> None:
        try:
            seat.waiting += seat.work.heard(passage, decoded)
        except Exception as error:
            self._give_up(channel, seat, error)

    def _give_up(self, channel: Channel, seat: Seat, error: Exception) -> None:
        """One window fails; the others go on."""
        seat.over = True
        self._answer(seat.future, error)
        if seat.ballot is not None and seat.ballot.ranking is None:
            channel.language.cast(seat.ballot, ())

    def _fail(self, error: Exception) -> None:
        if self._end is not None:
            return
        self._end = error
        for channel in self._channels.values():
            for seat in channel.seats:
                if not seat.over:
                    self._answer(seat.future, error)
            channel.seats.clear()

    def _answer_in_order(self, channel: Channel) -> None:
        while channel.seats and (channel.seats[0].over or channel.seats[0].work.done):
            seat = channel.seats.popleft()
            if seat.over:
                channel.seam = NO_SEAM
                continue
            try:
                self._answer(seat.future, self._result(channel, seat))
            except Exception as error:
                self._answer(seat.future, error)

    def _result(self, channel: Channel, seat: Seat) -> HeardWindow:
        tongue = seat.tongue or channel.language.decided or UNKNOWN
        heard = seat.work.heard_window(tongue.language, tongue.probability)
        for retry, times in seat.work.retries:
            for _ in range(times):
                self._meter.again(retry)
        self._meter.holes(heard.holes_found, heard.holes_rescued)
        segments: Sequence[Segment] = heard.segments
        before, channel.seam = channel.seam, NO_SEAM
        if seat.window.speech and has_context(seat.window):
            segments, channel.seam = trimmed(segments, seat.window, before)
        if not self._options.word_timestamps:
            segments = [replace(segment, words=()) for segment in segments]
        return replace(heard, segments=tuple(segments))

    def _answer(self, future: Future[HeardWindow], answer: HeardWindow | Exception) -> None:
        def errand() -> None:
            if not future.set_running_or_notify_cancel():
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self._errands.note(errand)
