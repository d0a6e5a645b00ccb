"""What an answer's headers say of the object: its version, its size, its times."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from transcriber_worker.storage.base import ObjectInfo

_STRONG = re.compile(r'"[\x21\x23-\x7e]{0,200}"|[\x21\x23-\x7e]{1,200}')
"""In quotes, as the standard has it, or without, as OCI sends it."""
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_LENGTH = re.compile(r"\d{1,18}")
_DATE_IS_STRONG_AFTER_S = 60.0
"""RFC 9110, 8.8.2.2: two versions may share a second, but not one that was over when the answer was made."""
_PLAIN = ("", "identity", "aws-chunked")
"""Content codings that leave the bytes as they are; the last one is left behind by uploads to S3."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of one answer. `fields`: lower-case names; what stood twice is joined by commas."""

    status: int
    fields: Mapping[str, str]

    @property
    def strong_etag(self) -> str | None:
        """The entity tag as it was sent, where equal tags mean equal bytes."""
        etag = self.fields.get("etag", "").strip()
        return etag if _STRONG.fullmatch(etag) else None

    @property
    def declared_bytes(self) -> int | None:
        """The size of the whole object, of which a 206 brings a part."""
        if self.status == 206:
            found = _RANGE.fullmatch(self.fields.get("content-range", "").strip())
            return int(found[3]) if found and found[3] != "*" else None
        length = self.fields.get("content-length", "").strip()
        return int(length) if _LENGTH.fullmatch(length) else None

    @property
    def first_byte(self) -> int:
        """Where in the object the body begins; -1 where a 206 does not say so."""
        if self.status != 206:
            return 0
        found = _RANGE.fullmatch(self.fields.get("content-range", "").strip())
        return int(found[1]) if found else -1

    @property
    def ends_by_closing(self) -> bool:
        """Whether only the end of the connection ends the body: then nothing tells it from a broken one."""
        return self.declared_bytes is None and "chunked" not in self.fields.get("transfer-encoding", "").lower()

    @property
    def resumable(self) -> bool:
        """Whether the rest of a broken body can be known to belong to what came before."""
        if self.declared_bytes is None:
            return False
        made_at, modified_at = _seconds(self.fields.get("date")), self.modified_at
        date_is_strong = made_at is not None and modified_at > 0 and made_at - modified_at >= _DATE_IS_STRONG_AFTER_S
        return self.strong_etag is not None or date_is_strong

    @property
    def modified_at(self) -> float:
        """Unix seconds; 0 where the host does not tell, so that it stays the same from look to look."""
        return max(0.0, _seconds(self.fields.get("last-modified")) or 0.0)

    @property
    def coding(self) -> str | None:
        """The compression the body came in, which we did not ask for and do not undo."""
        coding = self.fields.get("content-encoding", "").strip().lower()
        return None if coding in _PLAIN else coding[:20]

    @property
    def md5(self) -> bytes | None:
        """The digest of the whole object, where the answer brings it."""
        for name in ("opc-content-md5", "content-md5"):
            try:
                digest = base64.b64decode(self.fields.get(name, ""), validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(digest) == 16 and self.status == 200:
                return digest
        return None

    def version(self, size_bytes: int) -> str:
        """The entity tag; else a digest of whatever tells versions apart."""
        strong = self.strong_etag
        if strong is not None and not self.ends_by_closing:
            return strong
        known = [self.fields.get("etag", ""), self.fields.get("last-modified", ""), str(size_bytes)]
        return "derived-" + hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]

    def info(self, size_bytes: int, now: float) -> ObjectInfo:
        """`now`: Unix seconds, where the host does not tell its time."""
        made_at = _seconds(self.fields.get("date"))
        return ObjectInfo(self.version(size_bytes), size_bytes, self.modified_at, now if made_at is None else made_at)


def _seconds(date: str | None) -> float | None:
    """Unix seconds of an HTTP date; None for what is none."""
    try:
        moment = parsedate_to_datetime(date) if date else None
        if moment is not None and moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp() if moment else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
