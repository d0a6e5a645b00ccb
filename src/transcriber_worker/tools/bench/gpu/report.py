"""What `bench-gpu` found, as it is written to a file: one JSON document, version 1. Its schema is
docs/schemas/benchmark-gpu.json. It names no host and no user, and of paths only the files' own names."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from transcriber_worker.tools.bench.report import MachineFacts, Part, Report, Share, Spread


class RandomModelFacts(Part):
    """A model of random weights."""

    name: str
    sha256: str
    """Of its weights; they are the same wherever they are made."""
    encoder_layers: int
    decoder_layers: int
    width: int


class CellFacts(Part):
    """The GPU alone: so many windows a batch, so many batches at once, all of them in memory from the start."""

    model: str
    encoder: str
    beam_size: int
    batch: int
    streams: int
    facts: dict[str, str] = Field(default_factory=dict)
    """What it ran on."""
    failed: str | None = None
    """Why there are no figures."""
    out_of_memory: str | None = None
    """Why there are no figures: it does not fit."""
    times_real_time: Spread | None = None
    """Seconds of audio by seconds of wall clock. The audio is that of the windows, without the pauses that were cut
    out; where files are transcribed, pauses count."""
    ms_per_window: Spread | None = None
    """Of wall clock, all streams together."""
    tokens_per_s: Spread | None = None
    """Text tokens by seconds of wall clock."""
    tokens_per_window: Share | None = None
    tokens_per_audio_s: Share | None = None
    batch_s: Share | None = None
    """The median batch, from its samples to its words, waiting for other streams included."""
    phase_ms: dict[str, Share] = Field(default_factory=dict)
    """Milliseconds a window that the streams spent in each phase, the medians of the repeats. With several streams they
    take place at the same time, and wait for each other."""
    peak_bytes: int | None = None
    """Most of the GPU's memory in use, by whomever; null where that can't be told."""
    busy: Share | None = None
    """Share of the time in which the GPU computed anything, as NVML tells it, without the first and last tenth."""


class StageFacts(Part):
    """What one part of the way from a file to its words would allow, were all others for nothing. On CUDA there is none
    of CPU seconds in the engine's process: threads that wait for the GPU use them too."""

    name: str
    cpu_s: Share | None = None
    """CPU seconds of a round; null for the GPU."""
    times_real_time: Share


class BoundFacts(Part):
    """Of one contender, which part binds first."""

    workload: str
    beam_size: int
    contender: str
    stages: tuple[StageFacts, ...]
    """The one that binds first comes first."""


class FilesFacts(Part):
    """From files to words, one model."""

    report: Report
    bounds: tuple[BoundFacts, ...]


class HearingFacts(Part):
    """Whether a device hears what the CPU hears: the small real model on recordings of known text."""

    contender: str
    wer: Share | None
    cpu_wer: Share | None
    within: bool
    """Whether both are known and at most `correctness.most_apart` apart."""
    out_of_memory: int
    """How often memory ran out."""
    why: str


class CorrectnessFacts(Part):
    """Checked with real weights."""

    most_apart: Share
    report: Report
    heard: tuple[HearingFacts, ...]

    @property
    def failed(self) -> bool:
        return not all(one.within for one in self.heard)


class GpuReport(Part):
    """A whole run: every figure in it was measured in this run."""

    version: Literal[1] = 1
    made_at: datetime
    worker: str
    """Version of transcriber-worker."""
    versions: dict[str, str]
    """Of Python and of the packages that do the work."""
    machine: MachineFacts
    dry_run: bool
    """Whether this was only to see that it runs: a tiny model on the CPU. Its figures say nothing of any GPU."""
    models: tuple[RandomModelFacts, ...]
    repeats: int
    cells: tuple[CellFacts, ...]
    files: tuple[FilesFacts, ...]
    correctness: CorrectnessFacts | None

    @property
    def failed(self) -> bool:
        """Whether anything has no figures for another reason than that it does not fit, or hears something else."""
        return (
            any(cell.failed is not None for cell in self.cells)
            or any(files.report.failed for files in self.files)
            or (self.correctness is not None and (self.correctness.report.failed or self.correctness.failed))
        )
