"""Object Storage over HTTP: pre-authenticated requests, URLs that need no signature."""

import dataclasses
import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from tests.oci_emulator.faults import Faults
from tests.oci_emulator.objects_checks import check_name, found_bucket
from tests.oci_emulator.objects_model import NAMESPACE, Bucket, ObjectsModel, Par
from tests.oci_emulator.wire import Request, Response, ServiceFault, json_response, timestamp

_BUCKET = {"POST": "CreatePreauthenticatedRequest", "GET": "ListPreauthenticatedRequests"}
_PAR = {"GET": "GetPreauthenticatedRequest", "DELETE": "DeletePreauthenticatedRequest"}
_READS = ("GetObject", "HeadObject")
_ACCESS = {
    "ObjectRead": _READS,
    "ObjectWrite": ("PutObject",),
    "ObjectReadWrite": (*_READS, "PutObject"),
}


class Pars:
    """Operations below /n/{namespace}/b/{bucket}/p, and admission by /p/{token}/n/..."""

    def __init__(self, model: ObjectsModel, faults: Faults) -> None:
        self._model = model
        self._faults = faults

    def operation(self, request: Request) -> str | None:
        match request.path_parts:
            case ("n", _, "b", _, "p") | ("n", _, "b", _, "p", ""):
                return _BUCKET.get(request.method)
            case ("n", _, "b", _, "p", _):
                return _PAR.get(request.method)
        return None

    def handle(self, request: Request, operation: str) -> Response:
        with self._model.lock:
            bucket = found_bucket(self._model, request.path_parts[1], request.path_parts[3])
            if operation == "CreatePreauthenticatedRequest":
                return json_response(self.create(bucket, request.json(), request.now))
            if operation == "ListPreauthenticatedRequests":
                return json_response([_described(par) for par in bucket.pars.values()])
            par = bucket.pars.get(request.path_parts[5])
            if par is None:
                raise ServiceFault(404, "NotAuthorizedOrNotFound", "The pre-authenticated request does not exist")
            if operation == "GetPreauthenticatedRequest":
                return json_response(_described(par))
            self._model.change("remove_par", bucket=bucket.name, par=par.id)
            return Response(200)

    def unwrapped(self, request: Request) -> Request:
        """The request that a pre-authenticated URL stands for."""
        return dataclasses.replace(request, path_parts=request.path_parts[2:])

    def admitted(self, request: Request, operation: str) -> Request:
        """The same, if its token allows it; raises `ServiceFault`: 404 for an unknown token and for what it does not
        cover, for an expired one what the switch `par_expired_status` says."""
        _, token, _, namespace, _, bucket_name, *rest = request.path_parts
        with self._model.lock:
            bucket = found_bucket(self._model, namespace, bucket_name)
            par = next((par for par in bucket.pars.values() if par.token == token), None)
        if par is None:
            raise _refused(404)
        if par.expires_at <= request.now:
            raise _refused(self._faults.switched("par_expired_status", 404))
        if not _covers(par, operation, "/".join(rest[1:])):
            raise _refused(404)
        return self.unwrapped(request)

    def create(self, bucket: Bucket, wanted: Mapping[str, Any], at: float) -> dict[str, Any]:
        """`wanted`: CreatePreauthenticatedRequestDetails; returns it with its URL's path, which is never told again."""
        access, name = wanted.get("accessType"), wanted.get("objectName")
        if not wanted.get("name") or str(access).removeprefix("Any") not in _ACCESS:
            raise ServiceFault(400, "InvalidParameter", "A pre-authenticated request needs a name and an accessType")
        if not str(access).startswith("Any"):
            check_name(name)
        expires_at = _moment(wanted.get("timeExpires"))
        if expires_at <= at:
            raise ServiceFault(400, "InvalidParameter", "timeExpires has passed")
        identity = f"{uuid.uuid4().hex}:{name or ''}"
        self._model.change(
            "make_par",
            bucket=bucket.name,
            id=identity,
            token=secrets.token_urlsafe(48),
            name=wanted["name"],
            access=access,
            object_name=name,
            listing=wanted.get("bucketListingAction") == "ListObjects",
            created_at=at,
            expires_at=expires_at,
        )
        par = bucket.pars[identity]
        where = f"/p/{par.token}/n/{NAMESPACE}/b/{bucket.name}/o/"
        exact = "" if par.access.startswith("Any") else quote(par.object_name or "")
        return {**_described(par), "accessUri": where + exact}


def _covers(par: Par, operation: str, name: str) -> bool:
    if operation == "ListObjects":
        return par.listing and par.access.startswith("Any")
    named = name.startswith(par.object_name or "") if par.access.startswith("Any") else name == par.object_name
    return named and operation in _ACCESS[par.access.removeprefix("Any")]


def _refused(status: int) -> ServiceFault:
    if status == 401:
        return ServiceFault(401, "NotAuthenticated", "The pre-authenticated request has expired")
    return ServiceFault(status, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found")


def _moment(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise ServiceFault(400, "InvalidParameter", "timeExpires is no RFC 3339 time") from None


def _described(par: Par) -> dict[str, Any]:
    described = {
        "id": par.id,
        "name": par.name,
        "accessType": par.access,
        "timeCreated": timestamp(par.created_at),
        "timeExpires": timestamp(par.expires_at),
        "bucketListingAction": "ListObjects" if par.listing else "Deny",
    }
    return described | ({"objectName": par.object_name} if par.object_name is not None else {})
