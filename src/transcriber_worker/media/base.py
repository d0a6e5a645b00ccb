"""The seam to the media sandbox: a file in, windows of speech out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from transcriber_worker.domain.audio import MediaInfo, MediaReport, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.job import MediaOptions


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How long a window may be."""

    speech_s: float
    """Its speech, summed, context counted."""
    span_s: float
    """Its audio, from the first speech to the last. Beyond `speech_s` where the pauses between are not heard."""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """One file to read, from the job's own scratch directory."""

    path: Path
    options: MediaOptions
    cancel: CancelToken


class MediaStream(Protocol):
    """One file being read, in a process of its own. Used by one thread; leaving the `with` block ends the process.

    Raises `RejectJob` for what the file is to blame for (unreadable, no audio, too long, over a limit), `RetryJob`
    where the reader died for another reason, and the cancel token's error.
    """

    @property
    def info(self) -> MediaInfo: ...

    def windows(self) -> Iterator[Window]:
        """The file's windows in order of time; each is made only when asked for, so that a long file starts at once and
        never sits in memory. Silence makes no window."""
        ...

    @property
    def report(self) -> MediaReport:
        """What decoding found; there once `windows` is exhausted."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class MediaReader(Protocol):
    """Opens files."""

    def open(self, request: MediaRequest) -> MediaStream:
        """Start reading; returns once the file's own header is read."""
        ...

    def close(self) -> None:
        """End every process it started."""
        ...
