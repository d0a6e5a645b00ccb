"""Result events (CloudEvents 1.0): what became of a job, for whoever asked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from transcriber_worker.domain.job import Format

MAX_EVENT_BYTES = 64 * 1024
_MESSAGE_CHARS = 2000
_WARNINGS = 50


class EventType(StrEnum):
    COMPLETED = "transcription.completed"
    FAILED = "transcription.failed"
    PROGRESS = "transcription.progress"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Failure(_Part):
    reason: str = Field(description="A reason code; `cancelled` where a user cancelled the job.")
    message: str = Field(description="For a human: what happened and what to do.")
    stage: str = Field(description="The stage it happened in.")


class ProgressData(_Part):
    percent: float = Field(ge=0, le=100)
    eta_s: float | None = Field(description="Seconds still needed, where that can be told.")


class ResultData(_Part):
    """The event's payload."""

    version: Literal[1] = 1
    job_id: str
    request_id: str = Field(description="The publisher's own id, or empty.")
    seq: int = Field(description="Grows with every event of a job.")
    source: str
    attempt: int
    outputs: dict[str, str] = Field(default_factory=dict, description="URI by format.")
    language: str | None = None
    audio_s: float | None = None
    no_speech: bool | None = Field(default=None, description="True where nobody speaks in the audio.")
    warnings: tuple[str, ...] = Field(default=(), description="Warning codes; their texts stand in the transcript.")
    error: Failure | None = None
    progress: ProgressData | None = None
    attributes: dict[str, str] = Field(default_factory=dict, description="The caller's own, echoed.")


class ResultEvent(_Part):
    """A CloudEvents 1.0 envelope. The same `id` is the same event, however often it arrives."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: Literal["transcriber-worker"] = "transcriber-worker"
    type: EventType
    subject: str = Field(description="The job id.")
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: ResultData

    def to_bytes(self) -> bytes:
        """The event as JSON, under 64 KB: attributes give way where they are too many, then all outputs but the JSON,
        then that."""
        data = self.data
        give_way: tuple[dict[str, dict[str, str]], ...]
        give_way = ({}, {"attributes": {}}, {"outputs": _only_json(data.outputs)}, {"outputs": {}})
        for smaller in give_way:
            data = data.model_copy(update=smaller)
            body = self.model_copy(update={"data": data}).model_dump_json(exclude_none=True).encode()
            if len(body) < MAX_EVENT_BYTES:
                break
        return body


def _only_json(outputs: Mapping[str, str]) -> dict[str, str]:
    """The commit point's URI: the others differ only in their endings."""
    return {name: uri for name, uri in outputs.items() if name == Format.JSON}


def failure(reason: str, message: str, stage: str) -> Failure:
    """A failure with its message cut to a bearable length."""
    return Failure(reason=reason, message=message[:_MESSAGE_CHARS], stage=stage)


def result_event(
    event_id: str, type_: EventType, data: ResultData, *, now: float, traceparent: str | None
) -> ResultEvent:
    """Wrap a payload. `now`: Unix seconds."""
    data = data.model_copy(update={"warnings": tuple(dict.fromkeys(data.warnings))[:_WARNINGS]})
    time = datetime.fromtimestamp(now, UTC)
    return ResultEvent(id=event_id, type=type_, subject=data.job_id, time=time, traceparent=traceparent, data=data)
