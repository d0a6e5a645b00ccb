"""Object Storage over HTTP: objects and buckets. Uploads in parts and pre-authenticated requests have modules of their
own."""

import uuid
from typing import Any

from tests.oci_emulator.faults import Effect, Faults
from tests.oci_emulator.journal import Journal
from tests.oci_emulator.object_events import ObjectEvents
from tests.oci_emulator.object_pars import Pars
from tests.oci_emulator.object_uploads import Uploads
from tests.oci_emulator.objects_checks import (
    byte_range,
    check_body,
    check_match,
    check_name,
    check_write,
    found_bucket,
    found_object,
    kept_headers,
)
from tests.oci_emulator.objects_listing import listed
from tests.oci_emulator.objects_model import NAMESPACE, ObjectsModel, StoredObject
from tests.oci_emulator.wire import Request, Response, ServiceFault, http_date, json_response, timestamp

MAX_OBJECT_BYTES = 50 * 2**30
_BUCKET = {"HEAD": "HeadBucket", "GET": "GetBucket", "DELETE": "DeleteBucket"}
_OBJECT = {"HEAD": "HeadObject", "GET": "GetObject", "DELETE": "DeleteObject", "PUT": "PutObject"}
_ACTIONS = {"renameObject": "RenameObject", "copyObject": "CopyObject"}
_OVERRIDES = {
    "httpResponseContentType": "content-type",
    "httpResponseContentDisposition": "content-disposition",
    "httpResponseCacheControl": "cache-control",
    "httpResponseContentLanguage": "content-language",
    "httpResponseContentEncoding": "content-encoding",
    "httpResponseExpires": "expires",
}


class ObjectStorage:
    """`events` hear of every object that is made, replaced or removed in a bucket where they are enabled."""

    def __init__(self, faults: Faults, journal: Journal, events: ObjectEvents) -> None:
        self.model = ObjectsModel(journal)
        self._events = events
        self._faults = faults
        self._uploads = Uploads(self.model, self._tell)
        self.pars = Pars(self.model, faults)

    def operation(self, request: Request) -> str | None:
        match request.path_parts:
            case ("n",) | ("n", ""):
                return "GetNamespace" if request.method == "GET" else None
            case ("p", _, "n", _, "b", *_):
                inner = self.pars.unwrapped(request)
                return self.operation(inner)
            case ("n", _, "b") | ("n", _, "b", ""):
                return {"GET": "ListBuckets", "POST": "CreateBucket"}.get(request.method)
            case ("n", _, "b", _) | ("n", _, "b", _, ""):
                return _BUCKET.get(request.method)
            case ("n", _, "b", _, "o") | ("n", _, "b", _, "o", ""):
                return "ListObjects" if request.method == "GET" else None
            case ("n", _, "b", _, "o", *_):
                return _OBJECT.get(request.method)
            case ("n", _, "b", _, "actions", action):
                return _ACTIONS.get(action) if request.method == "POST" else None
            case ("n", _, "b", _, "u" | "p", *_):
                return self._uploads.operation(request) or self.pars.operation(request)
        return None

    def is_anonymous(self, request: Request) -> bool:
        """Whether it comes with a pre-authenticated URL, so without a signature."""
        return request.path_parts[0] == "p"

    def handle(self, request: Request) -> Response | None:
        operation = self.operation(request)
        if operation is None:
            return None
        if self.is_anonymous(request):
            return self.handle(self.pars.admitted(request, operation))
        if operation == "GetNamespace":
            return json_response(NAMESPACE)
        namespace = request.path_parts[1]
        if namespace != NAMESPACE:
            raise ServiceFault(404, "NamespaceNotFound", f"The namespace '{namespace}' does not exist")
        for part in (self._uploads, self.pars):
            if part.operation(request) is not None:
                return part.handle(request, operation)
        with self.model.lock:
            answer: Response = getattr(self, f"_{operation}")(request)
        return answer

    def meddle(self, request: Request, effect: Effect) -> None:
        """Do to the object of a request, if it is there, what a fault says should happen behind its back."""
        names = self.pars.unwrapped(request).path_parts if self.is_anonymous(request) else request.path_parts
        bucket, name = names[3], "/".join(names[5:])
        with self.model.lock:
            found = found_bucket(self.model, NAMESPACE, bucket).objects.get(name)
            if found is None:
                return
            if effect is Effect.DELETE:
                self.model.change("remove", bucket=bucket, name=name)
            elif effect is Effect.REPLACE:
                other = bytes(255 - byte for byte in found.body[:65_536]) + found.body[65_536:]
                self.store(bucket, name, other, dict(found.headers), request.now)

    def _CreateBucket(self, request: Request) -> Response:  # noqa: N802 - by Oracle's name
        wanted = request.json()
        name = wanted.get("name")
        if not isinstance(name, str) or not name or "/" in name or not wanted.get("compartmentId"):
            raise ServiceFault(400, "InvalidBucketName", "A bucket needs a name without '/' and a compartmentId")
        if name in self.model.buckets:
            raise ServiceFault(409, "BucketAlreadyExists", f"Either the bucket '{name}' exists or it is not yours")
        self.make_bucket(name, request.now, events=wanted.get("objectEventsEnabled") is True)
        location = f"/n/{NAMESPACE}/b/{name}"
        return json_response(self._described(name), 200, {"etag": self.model.buckets[name].etag, "location": location})

    def make_bucket(self, name: str, at: float, *, events: bool = False) -> None:
        self.model.change("make_bucket", bucket=name, etag=str(uuid.uuid4()), at=at, events=events)

    def _ListBuckets(self, request: Request) -> Response:  # noqa: N802
        limit = request.integer("limit", 25, 1, 1000)
        names = [name for name in sorted(self.model.buckets) if name > request.query.get("page", "")]
        summary = ("namespace", "name", "compartmentId", "createdBy", "timeCreated", "etag")
        found = [{key: self._described(name)[key] for key in summary} for name in names[:limit]]
        return json_response(found, 200, {"opc-next-page": names[limit - 1]} if len(names) > limit else {})

    def _GetBucket(self, request: Request) -> Response:  # noqa: N802
        bucket = found_bucket(self.model, NAMESPACE, request.path_parts[3])
        return json_response(self._described(bucket.name), 200, {"etag": bucket.etag})

    _HeadBucket = _GetBucket

    def _described(self, name: str) -> dict[str, Any]:
        bucket = self.model.buckets[name]
        return {
            "namespace": NAMESPACE, "name": name, "compartmentId": "ocid1.compartment.oc1..emu",
            "createdBy": "ocid1.user.oc1..emu", "timeCreated": timestamp(bucket.created_at), "metadata": {},
            "etag": bucket.etag, "objectEventsEnabled": bucket.events, "publicAccessType": "NoPublicAccess",
            "storageTier": "Standard", "versioning": "Disabled", "freeformTags": {}, "definedTags": {},
            "id": f"ocid1.bucket.oc1..{name}",
        }  # fmt: skip

    def _DeleteBucket(self, request: Request) -> Response:  # noqa: N802
        bucket = found_bucket(self.model, NAMESPACE, request.path_parts[3])
        if bucket.objects or bucket.uploads:
            raise ServiceFault(409, "BucketNotEmpty", f"Bucket '{bucket.name}' is not empty")
        self.model.change("remove_bucket", bucket=bucket.name)
        return Response(204)

    def _ListObjects(self, request: Request) -> Response:  # noqa: N802
        return json_response(listed(found_bucket(self.model, NAMESPACE, request.path_parts[3]), request))

    def _PutObject(self, request: Request) -> Response:  # noqa: N802
        name = check_name("/".join(request.path_parts[5:]))
        bucket = found_bucket(self.model, NAMESPACE, request.path_parts[3])
        if len(request.body) > self._faults.switched("max_object_bytes", MAX_OBJECT_BYTES):
            raise ServiceFault(413, "RequestEntityTooLarge", "The object is too large")
        check_write(request, bucket.objects.get(name))
        check_body(request)
        stored = self.store(bucket.name, name, request.body, kept_headers(request), request.now)
        assert stored.md5 is not None
        return Response(200, {**_version(stored), "opc-content-md5": stored.md5})

    def store(self, bucket: str, name: str, body: bytes, headers: dict[str, str], at: float) -> StoredObject:
        objects = self.model.buckets[bucket].objects
        kind = "updateobject" if name in objects else "createobject"
        self.model.change("put", body, bucket=bucket, name=name, etag=str(uuid.uuid4()), headers=headers, at=at)
        self._tell(kind, bucket, objects[name], at)
        return objects[name]

    def _tell(self, kind: str, bucket: str, changed: StoredObject, at: float) -> None:
        if self.model.buckets[bucket].events:
            self._events.tell(kind, bucket, changed.name, changed.etag, at)

    def _GetObject(self, request: Request) -> Response:  # noqa: N802
        found = found_object(
            found_bucket(self.model, NAMESPACE, request.path_parts[3]), "/".join(request.path_parts[5:])
        )
        check_match(request.headers.get("if-match"), found)
        if request.headers.get("if-none-match") == found.etag:
            return Response(304, {"etag": found.etag})
        headers = {**found.headers, **_version(found), **_checksums(found), "accept-ranges": "bytes"}
        if found.storage_tier == "Archive":
            headers["archival-state"] = "Archived"
        if request.method == "HEAD":
            return Response(200, headers, found.body)
        if found.storage_tier == "Archive":
            raise ServiceFault(409, "NotRestored", f"The object '{found.name}' is archived and was not restored")
        headers |= {to: request.query[name] for name, to in _OVERRIDES.items() if name in request.query}
        part = byte_range(request, len(found.body))
        if part is None:
            return Response(200, headers, found.body)
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{len(found.body)}"
        return Response(206, headers, found.body[part])

    _HeadObject = _GetObject

    def _DeleteObject(self, request: Request) -> Response:  # noqa: N802
        bucket = found_bucket(self.model, NAMESPACE, request.path_parts[3])
        found = found_object(bucket, "/".join(request.path_parts[5:]))
        check_match(request.headers.get("if-match"), found)
        self.model.change("remove", bucket=bucket.name, name=found.name)
        self._tell("deleteobject", bucket.name, found, request.now)
        return Response(204, {"last-modified": http_date(request.now)})

    def _RenameObject(self, request: Request) -> Response:  # noqa: N802
        bucket, wanted = found_bucket(self.model, NAMESPACE, request.path_parts[3]), request.json()
        source = found_object(bucket, check_name(wanted.get("sourceName")))
        target = check_name(wanted.get("newName"))
        check_match(wanted.get("srcObjIfMatchETag"), source)
        check_match(wanted.get("newObjIfMatchETag"), bucket.objects.get(target))
        if wanted.get("newObjIfNoneMatchETag") == "*" and target in bucket.objects:
            raise ServiceFault(412, "IfNoneMatchFailed", f"There is an object '{target}'")
        etag = str(uuid.uuid4())
        self.model.change("rename", bucket=bucket.name, name=source.name, new_name=target, etag=etag, at=request.now)
        self._tell("deleteobject", bucket.name, source, request.now)
        self._tell("createobject", bucket.name, bucket.objects[target], request.now)
        return Response(200, _version(bucket.objects[target]))

    def _CopyObject(self, request: Request) -> Response:  # noqa: N802
        """Done at once; the real service works on it for a while, under the work request."""
        bucket, wanted = found_bucket(self.model, NAMESPACE, request.path_parts[3]), request.json()
        source = found_object(bucket, check_name(wanted.get("sourceObjectName")))
        target = found_bucket(self.model, NAMESPACE, str(wanted.get("destinationBucket")))
        name = check_name(wanted.get("destinationObjectName"))
        check_match(wanted.get("sourceObjectIfMatchETag"), source)
        check_match(wanted.get("destinationObjectIfMatchETag"), target.objects.get(name))
        self.store(target.name, name, source.body, dict(source.headers), request.now)
        return Response(202, {"opc-work-request-id": f"ocid1.workrequest.oc1..{uuid.uuid4()}"})


def _version(found: StoredObject) -> dict[str, str]:
    return {"etag": found.etag, "last-modified": http_date(found.modified_at)}


def _checksums(found: StoredObject) -> dict[str, str]:
    if found.md5 is not None:
        return {"content-md5": found.md5, "opc-content-md5": found.md5}
    return {"opc-multipart-md5": found.multipart_md5 or ""}
