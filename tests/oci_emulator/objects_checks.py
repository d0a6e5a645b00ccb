"""What Object Storage checks of a request before it does anything: names, checksums, conditions, ranges."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

import crc32c

from tests.oci_emulator.objects_model import Bucket, ObjectsModel, StoredObject, Upload, base64_md5
from tests.oci_emulator.wire import Request, ServiceFault

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
_KEPT = ("content-type", "content-language", "content-encoding", "content-disposition", "cache-control", "storage-tier")
_TIERS = ("Standard", "InfrequentAccess", "Archive")


def found_bucket(model: ObjectsModel, namespace: str, name: str) -> Bucket:
    bucket = model.buckets.get(name)
    if bucket is None:
        raise ServiceFault(
            404,
            "BucketNotFound",
            f"Either the bucket named '{name}' does not exist in the namespace '{namespace}' or you are not authorized "
            "to access it",
        )
    return bucket


def found_object(bucket: Bucket, name: str) -> StoredObject:
    found = bucket.objects.get(name)
    if found is None:
        raise ServiceFault(404, "ObjectNotFound", f"The object '{name}' was not found in the bucket '{bucket.name}'")
    return found


def found_upload(bucket: Bucket, name: str, request: Request) -> Upload:
    upload = bucket.uploads.get(request.query.get("uploadId", ""))
    if upload is None or upload.name != name:
        raise ServiceFault(404, "UploadNotFound", "The specified upload was not found")
    return upload


def check_name(name: object) -> str:
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= 1024 or re.search(r"[\r\n\0]", name):
        raise ServiceFault(400, "InvalidObjectName", "A name is 1 to 1024 bytes of UTF-8 without CR, LF and NUL")
    return name


def check_write(request: Request, before: StoredObject | None) -> None:
    """If-Match and If-None-Match of a write."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if unwanted not in (None, "*"):
        raise ServiceFault(400, "InvalidParameter", "If-None-Match of a write can only be '*'")
    check_match(wanted, before)
    if unwanted == "*" and before is not None:
        raise ServiceFault(412, "IfNoneMatchFailed", "The If-None-Match header is '*' but there is an existing entity")


def check_match(wanted: str | None, before: StoredObject | None) -> None:
    if wanted not in (None, "*", before.etag if before else None) or (wanted == "*" and before is None):
        raise ServiceFault(412, "IfMatchFailed", "The If-Match header does not match the ETag of the existing entity")


def check_body(request: Request) -> None:
    """Content-MD5 and the newer checksums, where they are given."""
    body, headers = request.body, request.headers
    if (given := headers.get("content-md5")) is not None:
        _check_digest(given, 16)
        if given != base64_md5(body):
            raise ServiceFault(400, "UnmatchedContentMD5", f"The computed MD5 of the body ({base64_md5(body)}) differs")
    computed: dict[str, Callable[[], bytes]] = {
        "opc-content-sha256": hashlib.sha256(body).digest,
        "opc-content-sha384": hashlib.sha384(body).digest,
        "opc-content-crc32c": lambda: _crc32c(body),
    }
    for header, digest in computed.items():
        if header in headers and headers[header] != base64.b64encode(digest()).decode():
            raise ServiceFault(400, "UnmatchedContentChecksum", f"{header} differs from that of the body")


def _crc32c(body: bytes) -> bytes:
    checksum: int = crc32c.crc32c(body)
    return checksum.to_bytes(4, "big")


def _check_digest(text: str, length: int) -> None:
    try:
        fits = len(base64.b64decode(text, validate=True)) == length
    except binascii.Error:
        fits = False
    if not fits:
        raise ServiceFault(400, "InvalidContentMD5", "Content-MD5 is no base64 of 16 bytes")


def kept_headers(request: Request) -> dict[str, str]:
    """The headers of a write that come back with every read."""
    headers = request.headers
    if headers.get("storage-tier", "Standard") not in _TIERS:
        raise ServiceFault(400, "InvalidParameter", f"storage-tier is one of {', '.join(_TIERS)}")
    kept = {name: value for name, value in headers.items() if name in _KEPT or name.startswith("opc-meta-")}
    return {"content-type": "application/octet-stream", **kept}


def byte_range(request: Request, size: int) -> slice | None:
    """What `Range` asks for, None for everything (also for what is no range in bytes, which HTTP ignores); raises
    `ServiceFault` 416."""
    text = request.headers.get("range", "")
    if "," in text:
        raise ServiceFault(416, "InvalidRange", "Only one range can be asked for")
    found = _RANGE.match(text.replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size or end <= start:
        raise ServiceFault(
            416, "InvalidRange", "The range lies outside of the object", {"content-range": f"bytes */{size}"}
        )
    return slice(start, end)
