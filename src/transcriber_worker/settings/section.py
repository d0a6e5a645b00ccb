"""What every section of the settings is made of."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MIB = 1024 * 1024

Count = Annotated[int, Field(ge=1)] | Literal["auto"]
"""So many, or as many as fit."""

SecretReference = Annotated[str, StringConstraints(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
"""Where a secret is: `env:NAME`, or `file:/absolute/path`, which is read again when the secret was refused."""


class Section(BaseModel):
    """A part of the settings: unknown keys are refused by name, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """`~` in a path, which only a shell would have replaced."""
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value  # noqa: PTH111 - no user is no error
