"""ListObjects: a page of a bucket's names."""

from typing import Any

from tests.oci_emulator.objects_model import Bucket, StoredObject
from tests.oci_emulator.wire import Request, ServiceFault, timestamp

_FIELDS = ("name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState")


def listed(bucket: Bucket, request: Request) -> dict[str, Any]:
    """The answer's body. Objects and prefixes both count towards the limit."""
    query = request.query
    fields = _fields(query.get("fields", ""))
    prefix, delimiter, limit = query.get("prefix", ""), query.get("delimiter", ""), _limit(request)
    if delimiter not in ("", "/"):
        raise ServiceFault(400, "InvalidParameter", "The only delimiter is '/'")
    objects: list[dict[str, Any]] = []
    prefixes: list[str] = []
    for name in sorted(bucket.objects, key=str.encode):
        if not (name.startswith(prefix) and _within(name, request)):
            continue
        folder = prefix + name[len(prefix) :].partition("/")[0] + "/" if delimiter else ""
        if folder and name.startswith(folder) and prefixes and prefixes[-1] == folder:
            continue
        if len(objects) + len(prefixes) == limit:
            return _page(objects, prefixes, delimiter) | {"nextStartWith": name}
        if folder and name.startswith(folder):
            prefixes.append(folder)
        else:
            objects.append(_summary(bucket.objects[name], fields))
    return _page(objects, prefixes, delimiter)


def _page(objects: list[dict[str, Any]], prefixes: list[str], delimiter: str) -> dict[str, Any]:
    return {"objects": objects, "prefixes": prefixes} if delimiter else {"objects": objects}


def _fields(text: str) -> list[str]:
    fields = [field for field in text.split(",") if field]
    if unknown := [field for field in fields if field not in _FIELDS]:
        raise ServiceFault(400, "InvalidParameter", f"Unknown fields: {', '.join(unknown)}")
    return fields


def _limit(request: Request) -> int:
    try:
        return request.integer("limit", 1000, 1, 1000)
    except ServiceFault as fault:
        raise ServiceFault(400, "InvalidLimit", fault.message) from None


def _within(name: str, request: Request) -> bool:
    query, raw = request.query, name.encode()
    return (
        raw >= query.get("start", "").encode()
        and ("startAfter" not in query or raw > query["startAfter"].encode())
        and ("end" not in query or raw < query["end"].encode())
    )


def _summary(found: StoredObject, fields: list[str]) -> dict[str, Any]:
    everything = {
        "size": len(found.body),
        "etag": found.etag,
        "md5": found.md5 or found.multipart_md5,
        "timeCreated": timestamp(found.created_at),
        "timeModified": timestamp(found.modified_at),
        "storageTier": found.storage_tier,
        "archivalState": "Archived" if found.storage_tier == "Archive" else None,
    }
    chosen = {field: everything[field] for field in fields if field != "name" and everything[field] is not None}
    return {"name": found.name, **chosen}
