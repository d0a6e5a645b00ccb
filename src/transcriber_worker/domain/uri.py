"""Where an object lies: `oci://bucket@namespace/name`, `https://host/path`, `file:///path`."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

SCHEMES = ("oci", "https", "file")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Lone surrogates among them: they have no UTF-8, so no store could carry the name."""
_URL = re.compile(r"://|\bhttps?:", re.IGNORECASE)
_HOST_OF_URL = re.compile(r"[a-z][a-z0-9+.-]{0,15}://(?:[^/?#]*@)?([^/?#@:]*)", re.IGNORECASE)
_OCI_AUTHORITY = re.compile(r"^[A-Za-z0-9._-]+@[A-Za-z0-9._-]+$")


class InvalidUri(ValueError):
    """The text is no object URI; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class ObjectUri:
    """One object, or a prefix of objects.

    `authority`: bucket@namespace, host, or "" for files. `key`: the object's name without a leading slash, decoded;
    for https with its query. A key that ends in "/" (or is empty) is a prefix.
    """

    scheme: str
    authority: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "ObjectUri":
        """Read a URI; raises `InvalidUri` for unknown schemes, dot segments and control characters."""
        if _CONTROL.search(text):
            raise InvalidUri("the URI contains control characters")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in SCHEMES:
            raise InvalidUri(
                f"unknown scheme in {redacted(text)!r}: use one of oci://bucket@namespace/name, https://, file:///"
            )
        if scheme == "https":
            return cls._parse_https(text)
        authority, _, key = rest.partition("/")
        if scheme == "file" and authority:
            raise InvalidUri("file URIs have no host: write file:///absolute/path")
        if scheme == "oci" and not _OCI_AUTHORITY.match(authority):
            raise InvalidUri("write oci://bucket@namespace/name")
        return cls(scheme, authority, _checked_key(_one_path(unquote(key)) if scheme == "file" else key))

    @classmethod
    def _parse_https(cls, text: str) -> "ObjectUri":
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:  # its message quotes the authority, which may hold a password
            raise InvalidUri("not a URL: its host or port can't be read") from None
        if not host:
            raise InvalidUri("the URL names no host")
        if parts.username or parts.password:
            raise InvalidUri("a URL must not carry a user name or password")
        _checked_key(unquote(parts.path.lstrip("/")))
        key = parts.path.removeprefix("/") + (f"?{parts.query}" if parts.query else "")
        host = f"[{host}]" if ":" in host else host
        return cls("https", host if port in (None, 443) else f"{host}:{port}", key)

    @classmethod
    def from_path(cls, path: Path, *, prefix: bool = False) -> "ObjectUri":
        """The file at `path` (made absolute, symlinks kept), or the prefix of everything below it."""
        key = str(path.absolute()).lstrip("/")
        return cls("file", "", key + "/" if prefix and key else key)

    @property
    def is_prefix(self) -> bool:
        name = self.key.partition("?")[0] if self.scheme == "https" else self.key  # a signature may end in a slash
        return name == "" or name.endswith("/")

    @property
    def path(self) -> Path:
        """The local path of a file URI."""
        return Path("/" + self.key)

    @property
    def basename(self) -> str:
        """The last part of the object's name, without a URL's query."""
        return PurePosixPath(self.key.partition("?")[0] if self.scheme == "https" else self.key).name

    def child(self, name: str) -> "ObjectUri":
        """The object `name` below this prefix."""
        key = self.key + name
        return ObjectUri(self.scheme, self.authority, _checked_key(_one_path(key) if self.scheme == "file" else key))

    def contains(self, other: "ObjectUri") -> bool:
        """Whether `other` is this object or lies below this prefix."""
        if (self.scheme, self.authority) != (other.scheme, other.authority):
            return False
        return other.key.startswith(self.key) if self.is_prefix else other.key == self.key

    def relative(self, other: "ObjectUri") -> str:
        """The name of `other` below this prefix."""
        return other.key.removeprefix(self.key)

    def __str__(self) -> str:
        key = quote(self.key) if self.scheme == "file" else self.key
        return f"{self.scheme}://{self.authority}/{key}"


def printable(name: str) -> str:
    """`name` with control characters and bytes that are no UTF-8 as %XX, so that a URI can carry it."""
    return _CONTROL.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def redacted(text: str) -> str:
    """`text` fit for logs and events: any URL but oci:// and file:// may carry access tokens in its path, its query or
    before its host, so only its scheme and host stay."""
    if not text.startswith(("oci://", "file://")) and _URL.search(text):
        found = _HOST_OF_URL.match(text.strip())
        return f"{found[0].partition('://')[0].lower()}://{found[1]}/…" if found else "(a URL)"
    return text if len(text) <= 1024 else text[:1024] + "…"


def _one_path(key: str) -> str:
    """One spelling for one file: a file system takes a//b for a/b, and a job's id is made from the spelling."""
    return re.sub("/{2,}", "/", key).removeprefix("/")


def _checked_key(key: str) -> str:
    if _CONTROL.search(key):
        raise InvalidUri("the object name contains control characters")
    if any(part in (".", "..") for part in key.split("/")):
        raise InvalidUri("the object name contains '.' or '..' segments")
    return key
