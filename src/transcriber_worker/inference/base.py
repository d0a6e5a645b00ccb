"""The seam to the speech engine. It knows windows and options, but no job, broker or store."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, Self

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.job import Priority, SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a running engine is, for fingerprints, transcripts and logs."""

    engine: str
    model: str
    model_sha256: str
    device: str
    compute_type: str
    beam_size: int
    encoder: str
    """Which one is in use, whatever was asked for."""
    workers: int
    """Batches or files it works on at the same time."""
    max_batch_windows: int
    """Most full windows in one of them, after it was tried out."""
    manner: str = ""
    """What else in the engine's settings a transcript depends on."""

    @property
    def identity(self) -> str:
        """What a transcript depends on; the device is not part of it."""
        return f"{self.engine}:{self.model_sha256}:{self.compute_type}:beam{self.beam_size}:{self.manner}".rstrip(":")


@dataclass(frozen=True, slots=True)
class Listener:
    """Who asks: one file's options and standing."""

    key: str
    """Stamps whose work it is: job id and attempt."""
    options: SpeechOptions
    cancel: CancelToken
    priority: Priority = Priority.NORMAL
    deadline: float | None = None
    """Unix seconds by which the result is wanted."""


class Hearing(Protocol):
    """One file's conversation with the engine; it remembers the file's language and its last words."""

    def submit(self, window: Window) -> Future[HeardWindow]:
        """Transcribe a window; to be called in the order of the file. A future may wait for the next three windows
        of the file or for `finish`. It fails with `RejectJob` (a prompt that can't fit),
        `RetryJob`, `WorkerBroken`, or the cancel token's error."""
        ...

    def finish(self) -> None:
        """No window follows."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None:
        """Forget the file and drop what is still queued for it."""
        ...


class SpeechEngine(Protocol):
    """Loads a model once and listens to many files at once. Thread-safe."""

    def start(self) -> EngineInfo:
        """Load, verify and warm up; raises `WorkerBroken` with what to install or set."""
        ...

    def open(self, listener: Listener) -> Hearing:
        """Begin a file; raises `RejectJob` for options the model can't do."""
        ...

    def close(self) -> None:
        """Stop; what is queued fails."""
        ...
