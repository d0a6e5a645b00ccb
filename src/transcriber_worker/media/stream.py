"""One file being read, as the pipeline sees it."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, MediaInfo, MediaReport, Window
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Channels
from transcriber_worker.media.base import MediaRequest, WindowLimits
from transcriber_worker.media.desk import Desk
from transcriber_worker.media.formats import MAX_SPLIT_CHANNELS
from transcriber_worker.media.permits import CpuPermits
from transcriber_worker.media.protocol import MediaJob, Message, Progress, Rejected
from transcriber_worker.media.short_files import SHORT_S, heard_s, is_short
from transcriber_worker.media.speech_spans import SpeechThresholds
from transcriber_worker.media.windows import CONTEXT_SAMPLES
from transcriber_worker.settings import MediaSettings

_SLACK_S = 60.0
_LEAST_CORE_S = 0.5
"""The cores of a channel are at least this long on average, its last one set aside: no file is windows without end."""


class ReaderStream:
    """A `MediaStream` over a reader process. Grants it one window at a time, each under a processor permit."""

    def __init__(
        self,
        request: MediaRequest,
        desk: Desk,
        permits: CpuPermits,
        settings: MediaSettings,
        limits: WindowLimits,
    ) -> None:
        self._request = request
        self._desk = desk
        self._permits = permits
        self._settings = settings
        self._limits = limits
        self._info: MediaInfo | None = None
        self._report: MediaReport | None = None
        self._read_ahead: deque[Window] = deque()
        self._received = 0
        self._reached: dict[int | None, tuple[int, float]] = {}
        """By channel: the next window's index, and where its core begins."""
        request.cancel.on_cancel(self._cancelled)

    def begin(self) -> None:
        """Wait for a place, hand the file to the child there and wait for what its header says. In the reserved place
        a short file is read to its end at once, so that it does not depend on anybody when that is free again."""
        self._desk.sit()
        self._hand_over()
        if not self._desk.reserved:
            return
        if not self._seems_short():
            self._make_way()
            return
        while self._report is None and self._desk.reserved:
            message = self._next(first=True)
            if isinstance(message, Window):
                self._read_ahead.append(message)

    @property
    def info(self) -> MediaInfo:
        if self._info is None:
            raise RuntimeError("the stream has not begun")
        return self._info

    @property
    def report(self) -> MediaReport:
        if self._report is None:
            raise RuntimeError("the report is there once the windows are exhausted")
        return self._report

    def windows(self) -> Iterator[Window]:
        while True:
            if self._read_ahead:
                yield self._read_ahead.popleft()
            elif self._report is None:
                message = self._next(first=not self._received)
                if isinstance(message, Window):
                    yield message
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._desk.leave()

    def _hand_over(self) -> None:
        self._reached.clear()
        with self._permits.hold(self._request.cancel, first=True):
            self._ask(lambda: self._desk.process.begin(self._job()))
            message = self._receive()
        if not isinstance(message, MediaInfo):
            raise self._out_of_control(f"{type(message).__name__} before the header")
        self._info = message

    def _next(self, *, first: bool) -> Window | Progress | MediaReport:
        """What the child makes of a permit. With its last word the child is done and its place is free."""
        message = self._step(first=first)
        if isinstance(message, MediaReport):
            self._report = message
            self._desk.leave()
            return message
        position_s = message.position_s if isinstance(message, Progress) else message.core.end_s
        self._received += isinstance(message, Window)
        if self._desk.reserved and heard_s(position_s, self.info, self._request.options) > SHORT_S + _SLACK_S:
            self._make_way()
        return message

    def _step(self, *, first: bool) -> Window | Progress | MediaReport:
        with self._permits.hold(self._request.cancel, first=first):
            self._ask(self._desk.process.grant)
            message = self._receive()
        if isinstance(message, Window):
            self._check(message)
        elif not isinstance(message, Progress | MediaReport):
            raise self._out_of_control(f"{type(message).__name__} between windows")
        return message

    def _seems_short(self) -> bool:
        return is_short(self.info, self._request.path.stat().st_size, self._request.options)

    def _make_way(self) -> None:
        """A long file in the reserved place: leave that to others, and go on in another place, from the beginning up to
        where it was."""
        if self._desk.stay():
            return
        self._desk.leave()
        self._desk.sit()
        self._hand_over()
        again = self._received
        while again:
            message = self._step(first=False)
            if isinstance(message, MediaReport):
                raise self._out_of_control("fewer windows than before")
            again -= isinstance(message, Window)

    def _job(self) -> MediaJob:
        options = self._request.options
        return MediaJob(
            path=str(self._request.path.absolute()),
            split=options.channels is Channels.SPLIT,
            clip=options.clip,
            speed=options.speed,
            limits=self._limits,
            max_duration_s=self._settings.max_duration_s,
            thresholds=SpeechThresholds(
                self._settings.vad_threshold, self._settings.vad_min_silence_ms, self._settings.vad_speech_pad_ms
            ),
        )

    def _ask(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            self._request.cancel.raise_if_cancelled()
            raise

    def _receive(self) -> Message:
        try:
            message = self._desk.process.receive(self._settings.window_timeout_s)
        except Exception:
            # The child's end is the consequence, not the cause.
            self._request.cancel.raise_if_cancelled()
            raise
        self._request.cancel.raise_if_cancelled()
        if isinstance(message, Rejected):
            raise RejectJob(message.reason, message.message)
        return message

    def _check(self, window: Window) -> None:
        """The child may be in a stranger's hands: hold its window against what was asked for and against the last."""
        options = self._request.options
        from_s = options.clip.start_s if options.clip else 0.0
        index, begins_s = self._reached.get(window.channel, (0, from_s))
        last_s = from_s + self._settings.max_duration_s + _SLACK_S
        split = options.channels is Channels.SPLIT
        context_s = CONTEXT_SAMPLES / SAMPLE_RATE_HZ * options.speed + 0.01
        right = (
            window.index == index
            and index * _LEAST_CORE_S <= begins_s - from_s + 0.01
            and window.speed == options.speed
            and (window.channel in range(MAX_SPLIT_CHANNELS) if split else window.channel is None)
            and abs(window.core.start_s - begins_s) < 0.01
            and window.core.end_s <= last_s
            and window.core.start_s - context_s <= window.speech[0].start_s
            and window.speech[-1].end_s <= window.core.end_s + context_s
            and sum(span.duration_s for span in window.speech) <= self._limits.speech_s * options.speed + 0.01
        )
        if not right:
            raise self._out_of_control("a window that was not asked for")
        self._reached[window.channel] = (index + 1, window.core.end_s)

    def _out_of_control(self, what: str) -> RejectJob:
        self._desk.kill("broke the protocol")
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED, f"The media reader went out of control on this file ({what}) and was ended."
        )

    def _cancelled(self) -> None:
        self._desk.kill("the job was cancelled")
        self._permits.look_again()
