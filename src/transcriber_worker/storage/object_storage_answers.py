"""What Object Storage's answers say: versions in their headers, and bodies that may end early or never."""

import base64
import hashlib
from collections.abc import Generator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from transcriber_worker.domain.clock import Clock
from transcriber_worker.oci_access.faults import describe, fault_of
from transcriber_worker.storage.base import ObjectInfo

CHUNK_BYTES = 1024 * 1024
SLOWEST_BYTES_PER_S = 4096
WINDOW_S = 30.0
"""A body that brings less than the slowest rate over this long is given up: a byte now and then would never end."""


class BrokenBody(Exception):
    """A body that ended early, came too slowly or is not what it claims to be: ask again."""


def info_of(headers: Mapping[str, str]) -> ObjectInfo | None:
    """The version that an answer speaks of, None where it does not say. `size_bytes` is that of the answer's body.

    The `date` header is the store's clock. It and last-modified count whole seconds, so an age made of the two is off
    by up to one second; a lease is renewed at a third of its life, and from three seconds on it can spare that.
    """
    try:
        modified_at = parsedate_to_datetime(headers["last-modified"]).timestamp()
        observed_at = parsedate_to_datetime(headers["date"]).timestamp()
        return ObjectInfo(headers["etag"], int(headers.get("content-length", 0)), modified_at, observed_at)
    except (KeyError, ValueError):
        return None


def md5_of(headers: Mapping[str, str]) -> str | None:
    """The object's own checksum, base64; None for one that was uploaded in parts."""
    if "opc-multipart-md5" in headers:
        return None
    return headers.get("content-md5") or headers.get("opc-content-md5")


def md5(body: bytes) -> str:
    """As the headers have it."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def chunks(response: Any, clock: Clock) -> Generator[bytes, None, None]:
    """The body as it was stored, never decoded, as it comes in. Raises `BrokenBody`; closes the answer at its end, or
    when the iterator is closed."""
    began, received = clock.monotonic(), 0
    try:
        # read1 returns what has come, where read would wait for all of it, however slowly it trickles in.
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
            yield chunk
            received += len(chunk)
            elapsed_s = clock.monotonic() - began
            if elapsed_s >= WINDOW_S:
                if received < elapsed_s * SLOWEST_BYTES_PER_S:
                    raise BrokenBody(f"only {received} bytes in {elapsed_s:.0f} s")
                began, received = clock.monotonic(), 0
    except Exception as error:
        if fault_of(error) is None:
            raise
        raise BrokenBody(describe(error)) from error
    finally:
        response.close()
