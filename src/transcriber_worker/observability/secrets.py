"""Secrets, read from where a setting says they are and masked in every log line from then on."""

import os
from pathlib import Path

from transcriber_worker.observability.redaction import register_secret


class SecretMissing(Exception):
    """There is no secret where the setting says; the message names the place and what to do."""


def read_secret(reference: str) -> str:
    """The secret at `env:NAME` or `file:/path`, read now, so that a rotated one is seen. Raises `SecretMissing`."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        secret = os.environ.get(place, "")
        where = f"the environment variable {place}"
    else:
        where = f"the file {place}"
        try:
            secret = Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"{where} can't be read: {getattr(error, 'strerror', None) or error}") from None
    secret = secret.rstrip("\r\n")  # an editor's last line break is no part of a password
    if not secret:
        raise SecretMissing(f"{where} is empty: put the secret there")
    _mask(secret)
    return secret


def _mask(secret: str) -> None:
    """Masking one of fewer characters would garble every line; nothing that guards a service is that short."""
    try:
        register_secret(secret)
    except ValueError:
        return
