"""Every knob, nested by room. YAML from a ConfigMap, overridden by the environment
(`TRANSCRIBER__ENGINE__CONCURRENCY=8`). Secrets only by reference. Each adapter receives only its own section."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from transcriber_worker.settings.broker import (
    BrokerKind,
    BrokerSettings,
    DirectoryBrokerSettings,
    KafkaBrokerSettings,
    OciQueueBrokerSettings,
)
from transcriber_worker.settings.oci import OciAuth, OciSettings
from transcriber_worker.settings.rooms import (
    EncoderKind,
    EngineKind,
    EngineSettings,
    ExporterSettings,
    MediaSettings,
    ModelSettings,
    ObservabilitySettings,
    StorageSettings,
    TranscriptSettings,
    WorkerSettings,
)
from transcriber_worker.settings.section import MIB, Count, SecretReference, Section

__all__ = [
    "ENV_PREFIX",
    "MIB",
    "BrokerKind",
    "BrokerSettings",
    "Count",
    "DirectoryBrokerSettings",
    "EncoderKind",
    "EngineKind",
    "EngineSettings",
    "ExporterSettings",
    "KafkaBrokerSettings",
    "MediaSettings",
    "ModelSettings",
    "ObservabilitySettings",
    "OciAuth",
    "OciQueueBrokerSettings",
    "OciSettings",
    "SecretReference",
    "Section",
    "Settings",
    "StorageSettings",
    "TranscriptSettings",
    "WorkerSettings",
]

ENV_PREFIX = "TRANSCRIBER__"


class Settings(BaseSettings):
    """The whole configuration of a worker."""

    given: ClassVar[Mapping[str, Any]] = {}
    """What `load` read from the YAML file; pydantic-settings builds its sources from the class."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    broker: BrokerSettings = BrokerSettings()
    oci: OciSettings = OciSettings()
    storage: StorageSettings = StorageSettings()
    media: MediaSettings = MediaSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    worker: WorkerSettings = WorkerSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    exporter: ExporterSettings = ExporterSettings()

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
