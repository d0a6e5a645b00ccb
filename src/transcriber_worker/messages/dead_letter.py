"""Dead letters: the messages that can't be done, why, and all that is needed to try them again."""

import base64
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from transcriber_worker.domain.errors import Reason

MAX_INLINE_BODY_BYTES = 64 * 1024


class DeadLetter(BaseModel):
    """One message that ended here. Exactly one of `body`, `body_base64` and `body_uri` is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    id: str = Field(description="The job id; for a body too broken to have one, a hash of its bytes and origin.")
    request_id: str = Field(description="The publisher's own id, or empty.")
    reason: Reason
    message: str = Field(description="For a human: what happened and what to do.")
    stage: str
    attempts: int
    crashes: int
    origin: str = Field(description="Where the message came from.")
    worker: str
    time: datetime
    body: str | None = None
    body_base64: str | None = None
    body_uri: str | None = Field(default=None, description="Where a body over 64 KB lies.")
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("body_base64")
    @classmethod
    def _decodes(cls, value: str | None) -> str | None:
        if value is not None:
            base64.b64decode(value, validate=True)
        return value

    @model_validator(mode="after")
    def _one_body(self) -> "DeadLetter":
        if sum(body is not None for body in (self.body, self.body_base64, self.body_uri)) != 1:
            raise ValueError("exactly one of body, body_base64 and body_uri must be set")
        return self

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True, indent=1).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "DeadLetter":
        """Raises `ValueError` for what is no dead letter."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise ValueError(f"not a dead letter: {error.error_count()} problems") from None

    def original_body(self) -> bytes | None:
        """The message's own bytes; None where they lie at `body_uri`."""
        if self.body is not None:
            return self.body.encode()
        return base64.b64decode(self.body_base64) if self.body_base64 is not None else None


def inline_body(body: bytes) -> dict[str, str]:
    """The fields that carry a small body in its letter: as text where it is text."""
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
