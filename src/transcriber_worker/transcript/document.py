"""The transcript JSON: the public contract, version 1, and the commit point of a job. Every other output is rendered
from it. Times of the audio are seconds on the file's own timeline, to the millisecond; moments are RFC 3339 in UTC."""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.functional_serializers import PlainSerializer

from transcriber_worker.domain.job import Task
from transcriber_worker.domain.uri import redacted

VERSION = 1


class InvalidDocument(ValueError):
    """The bytes are no transcript of a version this worker reads. The message quotes none of their text."""


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _score(value: float | None) -> float | None:
    return None if value is None else round(value, 4) + 0.0


def _encodable(value: Any) -> Any:
    # A file name may hold lone surrogates, which UTF-8 can't; found out at the write it would be too late.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _utc_ms(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The + 0.0 turns -0.0, which reads odd, into 0.0.
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(lambda value: round(value, 3) + 0.0)]
Score = Annotated[float | None, BeforeValidator(_finite_or_none), AfterValidator(_score)]
Text = Annotated[str, BeforeValidator(_encodable)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc_ms), PlainSerializer(_rfc3339, return_type=str)]


class Part(BaseModel):
    """A part of the document: unknown keys are refused, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Part):
    """The version of the source object that was transcribed."""

    uri: Annotated[Text, AfterValidator(redacted)]
    """Where it lay. Of a URL only the host: the rest may carry access tokens."""
    name: Text
    """The object's whole name, path and extension kept."""
    etag: Text
    size_bytes: Annotated[int, Field(ge=0)]
    modified_at: Moment


class Attempt(Part):
    """Who wrote this transcript."""

    number: Annotated[int, Field(ge=1)]
    worker: Text
    id: Text
    """Of this attempt alone."""


class EngineIdentity(Part):
    """What listened."""

    engine: Text
    model: Text
    model_sha256: Text
    compute_type: Text
    beam_size: Annotated[int, Field(ge=1)]
    manner: Text = ""
    """What else in the engine's settings the transcript depends on."""


class ChannelLanguage(Part):
    """The language of one channel."""

    channel: Annotated[int, Field(ge=0)]
    language: Text | None
    language_probability: Score


class Durations(Part):
    """How long the audio is, by several measures."""

    audio_s: Seconds
    """The decoded timeline from its start to its end, gaps counted."""
    container_s: Seconds | None
    """The file's own claim; null where it makes none."""
    speech_s: Seconds
    """Speech found, summed over channels."""
    decoded_s: Seconds
    """Audio really decoded, gaps not counted."""


class WordEntry(Part):
    """One word."""

    start: Seconds
    end: Seconds
    text: Text
    """With its leading space where the language writes one: the words of a segment put together are its text."""
    probability: Score


class SegmentEntry(Part):
    """A sentence or a part of one. A confidence that the model could not give is null."""

    id: Annotated[int, Field(ge=0)]
    """Position in the transcript, from 0."""
    start: Seconds
    end: Seconds
    text: Text
    channel: Annotated[int, Field(ge=0)] | None
    """Channel number from 0; null where the channels were mixed."""
    words: tuple[WordEntry, ...] | None
    """Null unless word timestamps were asked for."""
    avg_logprob: Score
    no_speech_prob: Score
    compression_ratio: Score
    temperature: Score
    flags: tuple[Text, ...]
    """Of `low_confidence`, `no_speech_likely`, `repetition`."""
    language: Text | None = None
    """Given where the request said that the languages are mixed."""


class QualityEntry(Part):
    """How far to trust the whole."""

    mean_logprob: Score
    """Of the segments, weighted by their duration; null where there are none."""
    low_confidence_share: Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, 4))]
    """The part of the transcribed time whose segments are flagged `low_confidence`."""
    no_speech: bool
    """True where nothing was heard."""


class WarningEntry(Part):
    """Something a reader should know."""

    code: Text
    message: Text
    start: Seconds | None
    end: Seconds | None


class TranscriptDocument(Part):
    """A transcript, version 1."""

    version: Literal[1]
    source: Source
    request_id: Text
    job_id: Text
    fingerprint: Text
    """Equal for equal source version, options and model."""
    requested_at: Moment
    created_at: Moment
    attempt: Attempt
    engine: EngineIdentity
    task: Task
    language: Text | None
    """Of the audio, also where it was translated; null where no speech was heard."""
    language_probability: Score
    """Null where the language was given rather than detected."""
    channel_languages: tuple[ChannelLanguage, ...]
    """One entry a channel where the channels' languages differ, else empty."""
    duration: Durations
    text: Text
    """The whole text; of separate channels one line a segment, each with its channel's number in brackets."""
    segments: tuple[SegmentEntry, ...]
    """In order of time, then of channel."""
    quality: QualityEntry
    warnings: tuple[WarningEntry, ...]
    timings: dict[Text, Seconds]
    """Seconds each stage took."""
    attributes: dict[Text, Text]
    """The request's own, unchanged."""

    def to_bytes(self) -> bytes:
        """UTF-8 JSON with one line for each key, segment and warning; the same document is always the same bytes."""
        entries = (f"{_json(key)}: {_lines(value)}" for key, value in self.model_dump(mode="json").items())
        return ("{\n" + ",\n".join(entries) + "\n}\n").encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Read what `to_bytes` wrote; raises `InvalidDocument`."""
        try:
            return cls.model_validate_json(body, strict=True)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            first = problems[0]
            where = ".".join(str(part) for part in first["loc"])
            at = f" at {where}" if where else ""
            raise InvalidDocument(
                f"not a version {VERSION} transcript: {first['msg']}{at} ({len(problems)} problems)"
            ) from None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value: object) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(_json(item) for item in value) + "\n]"
    return _json(value)
