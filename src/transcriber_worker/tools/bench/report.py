"""What a benchmark found, as it is written to a file: one JSON document, version 1. Its schema is
docs/schemas/benchmark.json. It names no host and no user, and of paths only the files' own names."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Seconds = Annotated[float, AfterValidator(lambda value: round(value, 3))]
Share = Annotated[float, AfterValidator(lambda value: round(value, 4))]


class Part(BaseModel):
    """A part of the report: unknown keys are refused, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Spread(Part):
    """A figure over the rounds."""

    median: Share
    least: Share
    most: Share


class MachineFacts(Part):
    """Where it ran."""

    cpu: str
    cores: int
    """That this process may use."""
    memory_bytes: int
    gpus: tuple[str, ...]
    system: str


class ModelFacts(Part):
    """What all contenders heard with."""

    name: str
    sha256: str


class FileFacts(Part):
    """A file of a workload."""

    name: str
    audio_s: Seconds
    text_known: bool


class WorkloadFacts(Part):
    """What was transcribed, in the order in which it was handed over; no contender was told a language."""

    name: str
    audio_s: Seconds
    files: tuple[FileFacts, ...]


class Ratio(Part):
    """How many times as fast as another contender: that one's seconds by this one's of the same round."""

    wall: Spread
    cpu: Spread


class Words(Part):
    """Against the known text, all files of a workload pooled."""

    wer: Share
    """Median of the rounds."""
    words: int
    """Of the known text."""
    edits: int
    """Median of the rounds."""
    missing_run: tuple[str, ...]
    """The longest run of words of a file's known text of which nothing was heard, in any round."""


class Batches(Part):
    """What the batching engine made of it, all rounds together."""

    batches: int
    rows_per_batch: Share
    fill: Share
    """Rows of a batch by what it might have had."""
    oldest_wait_s: Seconds
    """How long the row of a batch that waited longest did so, on average."""
    busy: dict[str, Share]
    """Share of the model workers' time by phase; the rest they waited."""
    again: dict[str, int]
    """Stretches decoded once more, by how and why."""
    holes_found: int
    holes_rescued: int
    out_of_memory: int


class MediaCpu(Part):
    """CPU seconds of the media children, a round."""

    decode_s: Seconds
    detect_s: Seconds


class GpuFacts(Part):
    """What was seen of the GPU."""

    peak_bytes: int
    """Most memory in use in any round, by whomever."""
    busy: Share | None
    """Share of the time in which it computed anything, the median of the rounds; null where that can't be told."""
    busy_within: Share | None
    """The same without the first and the last tenth of the time: with a backlog."""


class Row(Part):
    """One contender on one workload with one beam size."""

    workload: str
    beam_size: int
    contender: str
    what: str
    facts: dict[str, str]
    failed: str | None = None
    """Why there are no figures."""
    wall_s: Spread | None = None
    cpu_s: Spread | None = None
    """Of its process and its children."""
    times_real_time: Share | None = None
    """Seconds of audio by seconds of wall clock (the median)."""
    ratios: dict[str, Ratio] = Field(default_factory=dict)
    """By the contender it is held against."""
    peak_bytes: int | None = None
    """Most resident memory in any round, children counted, pages that processes share counted for each."""
    others_share: Spread | None = None
    """Share of the machine's processors taken by anything else meanwhile: where it is not small, only the CPU seconds
    mean something."""
    file_done_s: Spread | None = None
    """When a file was done, seconds since all were handed over; median, first and last file of the median round."""
    words: Words | None = None
    timed_words: int = 0
    """Words that came with times, of the last round."""
    same_text: bool = True
    """Whether every round gave the same text."""
    languages: dict[str, int] = Field(default_factory=dict)
    """Files by the language they were taken for, of the last round."""
    batches: Batches | None = None
    media_cpu: MediaCpu | None = None
    own_cpu_s: Spread | None = None
    """CPU seconds of its process alone, without the media children."""
    tokens_per_audio_s: Share | None = None
    """Text tokens that were decoded for a second of audio, the median of the rounds: where these differ, so did the
    work. This worker counts what it decoded again, faster-whisper only what it took."""
    gpu: GpuFacts | None = None


class Report(Part):
    """A whole run: every figure in it was measured in this run, and only such are ever compared."""

    version: Literal[1] = 1
    made_at: datetime
    worker: str
    """Version of transcriber-worker."""
    versions: dict[str, str]
    """Of Python and of the packages that do the work."""
    machine: MachineFacts
    model: ModelFacts
    rounds: int
    """That were measured; where a run was broken off, on the last workload with the last beam it came to."""
    baseline: str
    workloads: tuple[WorkloadFacts, ...]
    rows: tuple[Row, ...]

    @property
    def failed(self) -> bool:
        """Whether any contender has no figures."""
        return any(row.failed is not None for row in self.rows)
