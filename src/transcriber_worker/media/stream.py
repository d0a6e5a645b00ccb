"""One file being read, as the pipeline sees it."""

from collections.abc import Callable, Iterator
from typing import Self

from transcriber_worker.domain.audio import MediaInfo, MediaReport, Window
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.job import Channels
from transcriber_worker.media.base import MediaRequest
from transcriber_worker.media.permits import CpuPermits
from transcriber_worker.media.process import ReaderProcess
from transcriber_worker.media.protocol import MediaJob, Message, Progress, Rejected
from transcriber_worker.media.speech_spans import SpeechThresholds
from transcriber_worker.settings import MediaSettings

_SLACK_S = 60.0


class ReaderStream:
    """A `MediaStream` over a reader process. Grants it one window at a time, each under a processor permit."""

    def __init__(
        self,
        request: MediaRequest,
        process: ReaderProcess,
        permits: CpuPermits,
        settings: MediaSettings,
        max_window_s: float,
        release: Callable[[], None],
    ) -> None:
        """`release` ends the process and gives its place to the next file."""
        self._request = request
        self._process = process
        self._permits = permits
        self._settings = settings
        self._max_window_s = max_window_s
        self._release = release
        self._open = True
        self._info: MediaInfo | None = None
        self._report: MediaReport | None = None
        self._reached: dict[int | None, tuple[int, float]] = {}
        """By channel: the next window's index, and where its core begins."""
        request.cancel.on_cancel(self._cancelled)

    def begin(self) -> None:
        """Hand the file to the child and wait for what its header says."""
        with self._permits.hold(self._request.cancel, first=True):
            self._ask(lambda: self._process.begin(self._job()))
            message = self._receive()
        if not isinstance(message, MediaInfo):
            raise self._out_of_control(f"{type(message).__name__} before the header")
        self._info = message

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
        first = True
        while self._report is None:
            with self._permits.hold(self._request.cancel, first=first):
                self._ask(self._process.grant)
                message = self._receive()
            first = False
            if isinstance(message, MediaReport):
                self._report = message
            elif isinstance(message, Window):
                self._check(message)
                yield message
            elif not isinstance(message, Progress):
                raise self._out_of_control(f"{type(message).__name__} between windows")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._open:
            self._open = False
            self._release()

    def _job(self) -> MediaJob:
        options = self._request.options
        return MediaJob(
            path=str(self._request.path.absolute()),
            split=options.channels is Channels.SPLIT,
            clip=options.clip,
            speed=options.speed,
            max_window_s=self._max_window_s,
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
            message = self._process.receive(self._settings.window_timeout_s)
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
        index, begins_s = self._reached.get(window.channel, (0, options.clip.start_s if options.clip else 0.0))
        last_s = self._settings.max_duration_s + (options.clip.start_s if options.clip else 0.0) + _SLACK_S
        split = options.channels is Channels.SPLIT
        right = (
            window.index == index
            and window.speed == options.speed
            and (window.channel is not None) == split
            and abs(window.core.start_s - begins_s) < 0.01
            and window.core.end_s <= last_s
        )
        if not right:
            raise self._out_of_control("a window that was not asked for")
        self._reached[window.channel] = (index + 1, window.core.end_s)

    def _out_of_control(self, what: str) -> RejectJob:
        self._process.kill("broke the protocol")
        return RejectJob(
            Reason.MEDIA_LIMIT_EXCEEDED, f"The media reader went out of control on this file ({what}) and was ended."
        )

    def _cancelled(self) -> None:
        self._process.kill("the job was cancelled")
        self._permits.look_again()
