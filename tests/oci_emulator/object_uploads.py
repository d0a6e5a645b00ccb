"""Object Storage over HTTP: uploads in parts."""

import uuid
from collections.abc import Callable
from typing import Any

from tests.oci_emulator.objects_checks import (
    check_body,
    check_name,
    check_write,
    found_bucket,
    found_upload,
)
from tests.oci_emulator.objects_model import Bucket, ObjectsModel, StoredObject, Upload
from tests.oci_emulator.wire import (
    Request,
    Response,
    ServiceFault,
    checked_integer,
    http_date,
    json_response,
    timestamp,
)

_BUCKET = {"POST": "CreateMultipartUpload", "GET": "ListMultipartUploads"}
_UPLOAD = {
    "PUT": "UploadPart",
    "POST": "CommitMultipartUpload",
    "GET": "ListMultipartUploadParts",
    "DELETE": "AbortMultipartUpload",
}
_PER_PAGE = 100


class Uploads:
    """Operations below /n/{namespace}/b/{bucket}/u."""

    def __init__(self, model: ObjectsModel, tell: Callable[[str, str, StoredObject, float], None]) -> None:
        """`tell`: of an object that was made: the kind of event, the bucket, the object, virtual time."""
        self._model = model
        self._tell = tell

    def operation(self, request: Request) -> str | None:
        match request.path_parts:
            case ("n", _, "b", _, "u") | ("n", _, "b", _, "u", ""):
                return _BUCKET.get(request.method)
            case ("n", _, "b", _, "u", *_):
                return _UPLOAD.get(request.method)
        return None

    def handle(self, request: Request, operation: str) -> Response:
        with self._model.lock:
            bucket = found_bucket(self._model, request.path_parts[1], request.path_parts[3])
            if operation == "CreateMultipartUpload":
                return self._begin(bucket, request)
            if operation == "ListMultipartUploads":
                return _page([_described(bucket, upload, request) for upload in bucket.uploads.values()], request)
            upload = found_upload(bucket, "/".join(request.path_parts[5:]), request)
            if operation == "UploadPart":
                return self._put_part(bucket, upload, request)
            if operation == "CommitMultipartUpload":
                return self._commit(bucket, upload, request)
            if operation == "ListMultipartUploadParts":
                return _page(_parts(upload), request)
            self._model.change("abort_upload", bucket=bucket.name, upload=upload.id)
            return Response(204)

    def _begin(self, bucket: Bucket, request: Request) -> Response:
        wanted = request.json()
        name = check_name(wanted.get("object"))
        check_write(request, bucket.objects.get(name))
        headers = {"content-type": "application/octet-stream", **(wanted.get("metadata") or {})}
        given = {"contentType": "content-type", "contentEncoding": "content-encoding", "storageTier": "storage-tier"}
        headers |= {header: wanted[key] for key, header in given.items() if wanted.get(key)}
        identity = str(uuid.uuid4())
        self._model.change(
            "begin_upload", bucket=bucket.name, upload=identity, name=name, headers=headers, at=request.now
        )
        location = f"/n/{request.path_parts[1]}/b/{bucket.name}/u/{name}"
        described = _described(bucket, bucket.uploads[identity], request)
        return json_response(described, 200, {"location": location})

    def _put_part(self, bucket: Bucket, upload: Upload, request: Request) -> Response:
        number = request.integer("uploadPartNum", 0, 1, 10_000) or 0
        if number == 0:
            raise ServiceFault(400, "InvalidParameter", "uploadPartNum is missing")
        check_body(request)
        self._model.change(
            "put_part", request.body, bucket=bucket.name, upload=upload.id, number=number, etag=str(uuid.uuid4())
        )
        part = upload.parts[number]
        return Response(200, {"etag": part.etag, "opc-content-md5": part.md5})

    def _commit(self, bucket: Bucket, upload: Upload, request: Request) -> Response:
        wanted = request.json().get("partsToCommit") or []
        numbers = [checked_integer("partNum", part.get("partNum"), 1, 10_000) for part in wanted]
        if not numbers or numbers != sorted(set(numbers)):
            raise ServiceFault(400, "InvalidUploadPartOrder", "Parts are committed in the order of their numbers")
        for part in wanted:
            known = upload.parts.get(part["partNum"])
            if known is None or known.etag != part.get("etag"):
                raise ServiceFault(400, "InvalidUploadPart", f"Part {part['partNum']} was not found with that ETag")
        check_write(request, bucket.objects.get(upload.name))
        kind = "updateobject" if upload.name in bucket.objects else "createobject"
        self._model.change(
            "commit_upload",
            bucket=bucket.name,
            upload=upload.id,
            numbers=numbers,
            etag=str(uuid.uuid4()),
            at=request.now,
        )
        stored = bucket.objects[upload.name]
        self._tell(kind, bucket.name, stored, request.now)
        headers = {"etag": stored.etag, "last-modified": http_date(stored.modified_at)}
        return Response(200, {**headers, "opc-multipart-md5": stored.multipart_md5 or ""})


def _described(bucket: Bucket, upload: Upload, request: Request) -> dict[str, Any]:
    return {
        "namespace": request.path_parts[1],
        "bucket": bucket.name,
        "object": upload.name,
        "uploadId": upload.id,
        "timeCreated": timestamp(upload.created_at),
        "storageTier": upload.headers.get("storage-tier", "Standard"),
    }


def _parts(upload: Upload) -> list[dict[str, Any]]:
    return [
        {"partNumber": part.number, "etag": part.etag, "md5": part.md5, "size": len(part.body)}
        for _, part in sorted(upload.parts.items())
    ]


def _page(entries: list[dict[str, Any]], request: Request) -> Response:
    """A bare array; opc-next-page is the index to go on from."""
    limit = request.integer("limit", _PER_PAGE, 1, 1000)
    start = request.integer("page", 0, 0, 1_000_000)
    more = len(entries) > start + limit
    return json_response(entries[start : start + limit], 200, {"opc-next-page": str(start + limit)} if more else {})
