"""The last line of defence: whatever a log line was given, nothing that looks like a secret leaves the process.

Code must not log secrets in the first place; this catches what a vendor's message or a traceback carries along.
"""

import math
import re
import threading
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from urllib.parse import quote

MASK = "***"
MAX_CHARS = 8192
"""Longest string of a log line; the middle of a longer one is left out."""
_MAX_INPUT_CHARS = 65_536
_MAX_DEPTH = 8
_MIN_SECRET_CHARS = 4

_URL = re.compile(r"""\b(https?|wss?):(?:\\?/){2}([^\s/?#"'<>\\]*)([/?#\\][^\s"'<>]*)?""", re.IGNORECASE)
_QUOTED_URL = re.compile(r"""\b(https?)%3a%2f%2f[^\s"'<>]*""", re.IGNORECASE)
_NAMED = r"password|passwd|pass_?phrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signature|credential"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # A header's value may hold spaces and quotes (OCI request signing), so the rest of its line goes.
    (re.compile(r"""\b((?:proxy-)?authorization["']?\s*[:=]\s*)[^\r\n]+""", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    # Whatever begins like a JSON web token, so that no text makes the search take quadratic time.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"), MASK),
    # The path of a pre-authenticated request is its whole secret, with or without its host.
    (re.compile(r"/p/[A-Za-z0-9_-]{16,}/n/"), f"/p/{MASK}/n/"),
    (
        re.compile(rf"""((?:{_NAMED})["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s"',;&)}}\]]+)""", re.IGNORECASE),
        rf"\g<1>{MASK}",
    ),
)
_SECRET_KEY = re.compile(
    rf"(?:^|[_.-])(?:(?:proxy[_-])?authorization|cookie|{_NAMED}|credentials)$",
    re.IGNORECASE,
)
_PRIVATE_KEYS = frozenset({"attributes", "tenant", "text", "words", "segments", "prompt", "hotwords"})
"""What a publisher gave us or a speaker said: not secret by form, and no business of the logs."""
# Terminals obey these; a file's name may contain them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Redactor:
    """Makes values fit for logs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: tuple[str, ...] = ()

    def register_secret(self, value: str) -> None:
        """Mask `value` wherever it appears from now on, percent-encoded too, and each line of it where it has several.
        Fewer than 4 characters are refused by `ValueError`: masking them would garble every line."""
        if len(value.strip()) < _MIN_SECRET_CHARS:
            raise ValueError(f"a secret of fewer than {_MIN_SECRET_CHARS} characters can't be masked")
        lines = [line.strip() for line in value.splitlines()]
        found = {value, value.strip(), *(line for line in lines if len(line) >= 2 * _MIN_SECRET_CHARS)}
        # As a traceback or a dict's repr would show it, and as a URL would.
        shown = found | {repr(secret)[1:-1] for secret in found} | {quote(secret, safe="") for secret in found}
        with self._lock:
            # Longest first, so that a secret that contains another leaves nothing behind.
            self._secrets = tuple(sorted({*self._secrets, *shown}, key=len, reverse=True))

    def text(self, text: str) -> str:
        """`text` without known secrets, access tokens, URL paths and control characters, and not too long."""
        text = _shortened(text, _MAX_INPUT_CHARS)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _URL.sub(_host_only, text)
        text = _QUOTED_URL.sub(r"\g<1>://…", text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        text = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
        return _shortened(text, MAX_CHARS)

    def clean(self, value: object, depth: int = 0) -> object:
        """`value` as plain JSON types, redacted at every depth; what is no such type becomes redacted text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Real):
            return _number(value)
        if depth < _MAX_DEPTH:
            if isinstance(value, Mapping):
                return self.fields(value, depth + 1)
            if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray):
                return [self.clean(item, depth + 1) for item in value]
        return self.text(_as_text(value))

    def fields(self, fields: Mapping[object, object], depth: int = 0) -> dict[str, object]:
        """Like `clean`, for keys and values: what a telling key holds is masked whatever it looks like."""
        return {
            self.text(_as_text(key)): MASK if _is_secret_key(key) else self.clean(value, depth)
            for key, value in fields.items()
        }


def _is_secret_key(key: object) -> bool:
    return isinstance(key, str) and (key.lower() in _PRIVATE_KEYS or _SECRET_KEY.search(key) is not None)


def _host_only(match: re.Match[str]) -> str:
    scheme, authority, rest = match.groups()
    host = authority.rpartition("@")[2]
    return f"{scheme}://{host}" + ("/…" if rest and rest != "/" else rest or "")


def _number(value: Real) -> object:
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    # JSON knows no NaN; milliseconds are fine enough for every duration.
    return round(number, 4) if math.isfinite(number) else str(number)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__}>"


def _shortened(text: str, limit: int) -> str:
    """The head and, longer, the tail: the end of a traceback says what happened."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]} … {len(text) - limit} characters left out … {text[head - limit :]}"


REDACTOR = Redactor()
"""The process's own; secrets are registered with it as soon as they are read."""


def register_secret(value: str) -> None:
    """Mask `value` in every log line of this process from now on."""
    REDACTOR.register_secret(value)
