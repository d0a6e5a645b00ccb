"""The request: what a publisher may write, and what becomes of it. A publisher is not trusted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Channels, Format, Job, MediaOptions, Priority, SpeechOptions, Task
from transcriber_worker.domain.uri import InvalidUri, ObjectUri, redacted

VERSION = 1
MIXED = "mixed"
"""In place of a language: there are several, one after another."""
_PREAUTHENTICATED = re.compile(r"p/[^/]+/n/[^/]+/b/[^/]+/o/(?P<name>.+)", re.DOTALL)
_OBJECT_STORAGE_HOST = re.compile(r"(^|\.)(objectstorage\.|oci\.customer-oci\.com(:|$))")
_UPGRADE_DELAY_S = 60.0
_LONGEST_S = 10_000_000.0
"""Over a hundred days: longer than any recording, short enough to count its samples."""
_PROBLEMS_TOLD = 20
_KEY_CHARS = 100
_MAX_URI_BYTES = 12 * 1024
"""Four of them fit a result event. A path of 4096 bytes, each percent-encoded, is not longer."""

Printable = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Term = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Clip(BaseModel):
    """The stretch of the file to transcribe, in seconds of its own timeline."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    start_s: float = Field(default=0.0, ge=0, le=_LONGEST_S, allow_inf_nan=False)
    end_s: float = Field(gt=0, le=_LONGEST_S, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> "Clip":
        if self.end_s <= self.start_s:
            raise ValueError("clip.end_s must be greater than clip.start_s")
        return self


class Request(BaseModel):
    """A request to transcribe one audio file. Only `source` is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = Field(default=1, description="Version of this contract.")
    id: Printable | None = Field(default=None, description="The publisher's own id, for `status` and `cancel`.")
    source: str = Field(
        min_length=1,
        max_length=4096,
        description="The audio: oci://bucket@namespace/name, https://… or file:///…, as far as the worker allows it.",
    )
    output: str | None = Field(
        default=None, max_length=2048, description="Prefix for the transcripts; default: the worker's own output."
    )
    language: str | None = Field(
        default=None,
        description="Language spoken, as a code such as `pt`; null: detect it; `mixed`: it may change on the way.",
    )
    languages: tuple[str, ...] = Field(default=(), max_length=100, description="Detect only among these.")
    task: Task = Field(default=Task.TRANSCRIBE, description="`translate` writes English whatever is spoken.")
    formats: tuple[Format, ...] = Field(
        default=tuple(Format), description="Outputs wanted; the JSON is always written, the others come from it."
    )
    word_timestamps: bool = Field(default=False, strict=True, description="Times for every word.")
    channels: Channels = Field(
        default=Channels.MIX, description="`split` transcribes each channel by itself and merges them by time."
    )
    clip: Clip | None = Field(default=None, description="Only this stretch of the file.")
    prompt: Annotated[str, StringConstraints(max_length=4000)] | None = Field(
        default=None, description="Text that precedes the audio in style and spelling."
    )
    hotwords: tuple[Term, ...] = Field(default=(), max_length=200, description="Terms that are likely to occur.")
    speed: float = Field(
        default=1.0, ge=0.5, le=3.0, strict=True, description="Play the audio this much faster: quicker, rougher."
    )
    priority: Priority = Field(default=Priority.NORMAL)
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        strict=True,
        description="Seconds from publication by which the result is wanted.",
    )
    reply_to: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = Field(
        default=None,
        description="Where the result event goes instead of the default place, as the broker names places.",
    )
    attributes: dict[Printable, Annotated[str, StringConstraints(max_length=1000)]] = Field(
        default_factory=dict, max_length=32, description="Echoed in results and transcripts; never logged."
    )

    @field_validator("language", "languages")
    @classmethod
    def _language_codes(cls, value: Any) -> Any:
        if value == MIXED:
            return value
        for code in (value,) if isinstance(value, str) else value or ():
            if not re.fullmatch(r"[a-z]{2,3}", code):
                raise ValueError("write languages as lower-case codes such as en, pt or yue")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Request":
        if self.language and self.language != MIXED and self.languages:
            raise ValueError("give either `language` or `languages`, not both")
        return self


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What publishers may name. Prefixes; the first of `outputs` is where transcripts go by default."""

    sources: Sequence[ObjectUri]
    outputs: Sequence[ObjectUri]
    private: Sequence[ObjectUri] = ()
    """The worker's own prefixes, which no output may lie in, whatever `outputs` allows."""


def to_job(
    request: Request,
    rules: RequestRules,
    *,
    published_at: float,
    etag: str | None = None,
    traceparent: str | None = None,
) -> Job:
    """The job a request asks for; raises `RejectJob` for what the worker does not allow."""
    source = _allowed(request.source, rules.sources, "source", "storage.allowed_sources", Reason.SOURCE_NOT_ALLOWED)
    output = rules.outputs[0]
    if request.output is not None:
        wanted = request.output if request.output.endswith("/") else request.output + "/"
        output = _allowed(wanted, rules.outputs, "output", "storage.allowed_outputs", Reason.OUTPUT_NOT_ALLOWED)
    clip = Span(request.clip.start_s, request.clip.end_s) if request.clip else None
    job = Job(
        request_id=request.id or "",
        source=source,
        name=_name(source, rules.sources),
        output=output,
        requested_at=published_at,
        source_etag=etag,
        formats=tuple(dict.fromkeys((Format.JSON, *request.formats))),
        speech=SpeechOptions(
            language=None if request.language == MIXED else request.language,
            languages=request.languages,
            task=request.task,
            word_timestamps=request.word_timestamps,
            prompt=request.prompt,
            hotwords=request.hotwords,
            mixed=request.language == MIXED,
        ),
        media=MediaOptions(channels=request.channels, clip=clip, speed=request.speed),
        priority=request.priority,
        deadline_s=request.deadline_s,
        reply_to=request.reply_to,
        attributes=request.attributes,
        traceparent=traceparent,
    )
    if any(len(str(job.output_for(format_)).encode()) > _MAX_URI_BYTES for format_ in Format):
        raise RejectJob(Reason.INVALID_REQUEST, f"the transcript's URI would have more than {_MAX_URI_BYTES} bytes")
    if any(_is_private(job.output_for(format_), rules) for format_ in Format):
        raise RejectJob(Reason.OUTPUT_NOT_ALLOWED, "the transcript would lie among the worker's own files")
    return job


def _is_private(output: ObjectUri, rules: RequestRules) -> bool:
    if any(prefix.contains(output) for prefix in rules.private):
        return True
    below = min((prefix.relative(output) for prefix in rules.outputs if prefix.contains(output)), key=len, default="")
    # Beside its objects a directory keeps its locks and unfinished writes in hidden folders.
    return output.scheme == "file" and any(part.startswith(".") for part in below.split("/")[:-1])


def validate_request(fields: dict[str, Any]) -> Request:
    """Check a request's JSON object. Raises `RejectJob` that names every problem, or `RetryJob` for a newer version,
    which a newer worker will understand."""
    version = fields.get("version", VERSION)
    if isinstance(version, int | float) and not isinstance(version, bool) and version > VERSION:
        raise RetryJob(f"request version {str(version)[:20]} is newer than this worker's {VERSION}", _UPGRADE_DELAY_S)
    try:
        return Request.model_validate(fields)
    except ValidationError as error:
        raise RejectJob(Reason.INVALID_REQUEST, "; ".join(_problems(error))) from None


def _problems(error: ValidationError) -> list[str]:
    """One line a problem, and not more than a human reads; never the offending value, which may hold a token."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = []
    for problem in found[:_PROBLEMS_TOLD]:
        where = _where(problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}")
        else:
            lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    if len(found) > _PROBLEMS_TOLD:
        lines.append(f"and {len(found) - _PROBLEMS_TOLD} more problems")
    if any(problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1 for problem in found):
        lines.append(f"the keys there are: {', '.join(Request.model_fields)}")
    return lines


def _where(location: tuple[int | str, ...]) -> str:
    """The path of a problem. The keys of attributes are the publisher's own business and not told."""
    told = location[:1] if location[:1] == ("attributes",) else location
    where = redacted(".".join(str(part) for part in told))
    return where if len(where) <= _KEY_CHARS else where[:_KEY_CHARS] + "…"


def _allowed(text: str, prefixes: Sequence[ObjectUri], what: str, setting: str, reason: Reason) -> ObjectUri:
    try:
        uri = ObjectUri.parse(text)
    except InvalidUri as error:
        raise RejectJob(Reason.INVALID_REQUEST, f"{what}: {error}") from None
    if not any(prefix.contains(uri) for prefix in prefixes):
        raise RejectJob(reason, f"{what} {redacted(text)} is not below any prefix of {setting}")
    return uri


def _name(source: ObjectUri, prefixes: Sequence[ObjectUri]) -> str:
    """The object's whole name; for files what lies below the allowed root, for URLs the path without its token."""
    name = _whole_name(source, prefixes)
    if source.is_prefix or not name or name.endswith("/"):
        raise RejectJob(Reason.INVALID_REQUEST, "source names a folder: name one audio file")
    return name


def _whole_name(source: ObjectUri, prefixes: Sequence[ObjectUri]) -> str:
    if source.scheme == "oci":
        return source.key
    if source.scheme == "file":
        roots = [prefix for prefix in prefixes if prefix.contains(source)]
        longest = max(roots, key=lambda prefix: len(prefix.key))
        return longest.relative(source) or source.basename
    path = unquote(source.key.partition("?")[0]).lstrip("/")
    match = _PREAUTHENTICATED.fullmatch(path)
    if match is None and _OBJECT_STORAGE_HOST.search(source.authority) and path.startswith("p/"):
        raise RejectJob(Reason.INVALID_REQUEST, "source: a pre-authenticated request must name an object: /p/…/o/name")
    return match["name"] if match else path
