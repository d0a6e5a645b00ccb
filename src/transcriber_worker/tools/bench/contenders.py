"""Who takes part: what each contender is, as a value, and what it is asked for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

_BASELINE = "direct"
"""What comes first is what all are held against, unless a user names others."""


class Kind(StrEnum):
    """What hears."""

    DIRECT = "direct"
    """`WhisperModel.transcribe`, file by file."""
    PIPELINE = "pipeline"
    """`BatchedInferencePipeline`, file by file."""
    SEQUENTIAL = "sequential"
    """This worker's sequential engine behind its media pool."""
    BATCHED = "batched"
    """This worker's batching engine behind its media pool."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One contender."""

    name: str
    kind: Kind
    what: str
    """For people."""
    beam_size: int = 5
    at_once: int = 1
    """Files at the same time, of faster-whisper used directly; the worker's engines decide that by themselves."""
    pipeline_batch: int = 8
    padding: Literal["full", "adaptive"] = "full"
    workers: int | Literal["auto"] = "auto"
    max_batch_windows: int | Literal["auto"] = "auto"
    encoder: Literal["ctranslate2", "torch"] | None = None
    """Of the batching engine; None: that of the settings."""
    device: Literal["cpu", "cuda"] | None = None
    compute_type: str | None = None
    """None: those of the settings, as for the device."""
    leave_bytes: int | None = None
    """So much of the GPU's memory is left free once the engine has started, to see how it gets along."""

    def with_beam(self, beam_size: int) -> "Spec":
        return replace(self, beam_size=beam_size)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Spec":
        return cls(**{**fields, "kind": Kind(fields["kind"])})


SPECS = {
    spec.name: spec
    for spec in (
        Spec(_BASELINE, Kind.DIRECT, "faster-whisper, one file at a time on all cores"),
        Spec("direct-2", Kind.DIRECT, "faster-whisper, 2 files at once, a model worker each", at_once=2),
        Spec("direct-3", Kind.DIRECT, "faster-whisper, 3 files at once, a model worker each", at_once=3),
        Spec("pipeline", Kind.PIPELINE, "BatchedInferencePipeline, one file at a time, batches of 8"),
        Spec("pipeline-2", Kind.PIPELINE, "BatchedInferencePipeline, 2 files at once, batches of 8", at_once=2),
        Spec("sequential", Kind.SEQUENTIAL, "transcriber-worker, sequential engine"),
        Spec("batched", Kind.BATCHED, "transcriber-worker, batching engine, full windows"),
        Spec("adaptive", Kind.BATCHED, "transcriber-worker, batching engine, adaptive windows", padding="adaptive"),
    )
}
"""All there are; the order of the table."""

DEFAULT = tuple(SPECS)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a contender heard in one file."""

    text: str
    timed_words: int
    """Words that came with times of their own."""
    language: str | None
    audio_s: float
    tokens: int = 0
    """Text tokens that were decoded for it."""


class Contender(Protocol):
    """A loaded model and all that is needed from a file on disk to its words. Lives in a process of its own."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What it runs on: device, compute type, threads."""
        ...

    @property
    def at_once(self) -> int:
        """How many files to give it at the same time."""
        ...

    def hear(self, path: Path, language: str | None) -> Heard:
        """Transcribe one file, words with times; thread-safe."""
        ...

    def counters(self) -> Mapping[str, float]:
        """What it counts of its work since it was loaded; numbers that only rise."""
        ...

    def close(self) -> None: ...
