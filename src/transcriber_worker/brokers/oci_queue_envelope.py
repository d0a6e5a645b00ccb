"""The text a queue carries, and the bytes and headers that a message is: plain text travels as it is, so that anybody's
messages and ours mix; what text can't say travels in an envelope."""

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MARK = '{"transcriber-worker-envelope":1,'
_NOT_PLAIN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters, which answers of the service and parsers on their way are known to trip over."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}/[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a message that was published anew keeps of its first publication. `published_at`: Unix seconds."""

    id: str
    published_at: float


@dataclass(frozen=True, slots=True)
class Opened:
    """What a queue's text says. `origin`: only of a message that was published anew."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None


def sealed(body: bytes, headers: Mapping[str, str], origin: Origin | None = None) -> str:
    """The text that carries a message: never empty, without control characters but tab and line ends."""
    text = _plain_text(body)
    if text and not headers and origin is None and not text.startswith(_MARK):
        return text
    fields: dict[str, Any] = {"headers": dict(headers)}
    if origin is not None:
        fields |= {"id": origin.id, "published_at": origin.published_at}
    # As text where it is text: a third smaller, and to be read by whoever looks into the queue.
    fields |= {"base64": base64.b64encode(body).decode()} if text is None else {"text": text}
    return _MARK + json.dumps(fields, separators=(",", ":"))[1:]


def opened(content: str) -> Opened:
    """The message in a queue's text. What only looks like an envelope is a plain body: whoever reads it will say what
    is wrong with it."""
    if content.startswith(_MARK):
        try:
            return _from_envelope(json.loads(content))
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            pass
    return Opened(_bytes(content))


def _plain_text(body: bytes) -> str | None:
    """None for bytes that are no text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_PLAIN.search(text) else text


def _bytes(text: object) -> bytes:
    """Halves of surrogate pairs, which JSON can say, stay what they are: bytes that are no UTF-8."""
    if not isinstance(text, str):
        raise TypeError("no text")
    return text.encode(errors="surrogatepass")


def _from_envelope(fields: dict[str, Any]) -> Opened:
    headers = fields["headers"]
    if not isinstance(headers, dict):
        raise TypeError("headers are names and texts")
    origin = None
    if "id" in fields:
        id_, published_at = fields["id"], fields["published_at"]
        if not isinstance(id_, str) or not _ID.fullmatch(id_):
            raise ValueError("no id of a message")
        origin = Origin(id_, float(published_at))
        if not math.isfinite(origin.published_at):
            raise ValueError("no time")
    body = base64.b64decode(fields["base64"], validate=True) if "base64" in fields else _bytes(fields["text"])
    texts = {str(name): str(value) for name, value in headers.items()}
    "".join([*texts, *texts.values()]).encode()  # halves of surrogate pairs are no text: no dead letter could say them
    return Opened(body, texts, origin)
