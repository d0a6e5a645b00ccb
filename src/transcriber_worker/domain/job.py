"""What was asked for, as values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.uri import ObjectUri


class Task(StrEnum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Channels(StrEnum):
    MIX = "mix"
    SPLIT = "split"


class Format(StrEnum):
    JSON = "json"
    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How to listen. `language` None: detect it, among `languages` where any are given."""

    language: str | None = None
    languages: tuple[str, ...] = ()
    task: Task = Task.TRANSCRIBE
    word_timestamps: bool = False
    prompt: str | None = None
    hotwords: tuple[str, ...] = ()
    mixed: bool = False
    """Whether the language may change on the way: it is then decided window by window."""

    @property
    def known_language(self) -> str | None:
        """The language that need not be detected: the one given, or the only one allowed."""
        if self.language is None and len(self.languages) == 1:
            return self.languages[0]
        return self.language


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """How to read the file. `clip`: only this stretch of it; `speed`: play it this much faster before listening."""

    channels: Channels = Channels.MIX
    clip: Span | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One request, checked. Its id says where its transcript goes: two requests for one transcript are one job."""

    request_id: str
    source: ObjectUri
    name: str
    """The source object's whole name below its bucket or allowed root, path and extension kept."""
    output: ObjectUri
    """The prefix its outputs lie under."""
    requested_at: float
    """When it was published, Unix seconds."""
    source_etag: str | None = None
    """The version an event spoke of; another one found in the store means that a newer event is on its way."""
    formats: tuple[Format, ...] = (Format.JSON, Format.TXT, Format.SRT, Format.VTT)
    speech: SpeechOptions = SpeechOptions()
    media: MediaOptions = MediaOptions()
    priority: Priority = Priority.NORMAL
    deadline_s: float | None = None
    reply_to: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None

    @property
    def id(self) -> str:
        """32 hex digits: a hash of where the transcript goes."""
        return hashlib.sha256(str(self.output_for(Format.JSON)).encode()).hexdigest()[:32]

    def output_for(self, format_: Format) -> ObjectUri:
        """Where the output of this format goes: `<output><name>.<format>`."""
        return self.output.child(f"{self.name}.{format_.value}")

    def fingerprint(self, etag: str, model_identity: str) -> str:
        """What the transcript depends on: the source's version, the options, the model. 32 hex digits."""
        speech = asdict(self.speech)
        if not self.speech.mixed:
            del speech["mixed"]  # came later: requests that don't name it keep the fingerprint of the versions before
        what = [etag, speech, asdict(self.media), model_identity]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
