"""The tests' side door, on a port of its own that no fault reaches: `/_emu/...`, JSON in and out."""

import uuid
from collections.abc import Callable
from typing import Any

from tests.oci_emulator.application import Application
from tests.oci_emulator.faults import Fault
from tests.oci_emulator.journal import Journal
from tests.oci_emulator.object_events import ObjectEvents
from tests.oci_emulator.objects import ObjectStorage
from tests.oci_emulator.objects_checks import found_bucket, found_object
from tests.oci_emulator.objects_model import NAMESPACE
from tests.oci_emulator.queue_model import QueueConfig
from tests.oci_emulator.queue_service import QueueService
from tests.oci_emulator.requests_log import RequestsLog
from tests.oci_emulator.server import Listener
from tests.oci_emulator.signatures import Checking, Signatures
from tests.oci_emulator.wire import Request, Response, ServiceFault, json_response, timestamp

CLOCK = "clock"
"""The journal's entries on virtual time."""


class Control:
    """Everything that tests may do without a signature."""

    def __init__(
        self, application: Application, journal: Journal, objects: ObjectStorage, queues: QueueService,
        signatures: Signatures, log: RequestsLog, events: ObjectEvents,
    ) -> None:  # fmt: skip
        self._application = application
        self._journal = journal
        self._objects = objects
        self._queues = queues
        self._signatures = signatures
        self._log = log
        self._events = events
        self.service: Listener | None = None
        """The port under test, to be taken down and up."""
        self._calls: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("POST", "buckets"): self._make_bucket,
            ("POST", "pars"): self._make_par,
            ("POST", "queues"): self._make_queue,
            ("POST", "faults"): lambda request: application.faults.add(Fault.from_json(request.json())),
            ("GET", "faults"): lambda request: application.faults.fired(),
            ("DELETE", "faults"): lambda request: application.faults.clear(_seed(request)),
            ("POST", "switches"): self._switch,
            ("POST", "advance"): self._advance,
            ("GET", "now"): lambda request: application.clock.now(),
            ("POST", "down"): lambda request: self._listener.down(),
            ("POST", "up"): lambda request: self._listener.up(),
            ("POST", "checking"): self._set_checking,
            ("POST", "keys"): lambda request: signatures.admit(**request.json()),
            ("DELETE", "keys"): lambda request: signatures.revoke(request.query["key_id"]),
            ("GET", "requests"): lambda request: log.entries(),
            ("GET", "counts"): lambda request: log.counts(),
            ("DELETE", "requests"): lambda request: log.clear(),
            ("GET", "dump"): self._dump,
            ("POST", "reset"): self._reset,
            ("PUT", "objects"): self._put_object,
            ("GET", "objects"): self._get_object,
            ("DELETE", "objects"): self._delete_object,
            ("POST", "events"): self._forward_events,
            ("GET", "events"): lambda request: events.told(),
        }

    def answer(self, request: Request) -> Response:
        """Never raises: what goes wrong is a test's mistake, and told to it."""
        try:
            if request.path_parts[0] != "_emu":
                raise ServiceFault(404, "NotFound", "The control API is below /_emu/")
            found = self._calls[request.method, request.path_parts[1]](request)
        except ServiceFault as fault:
            return json_response({"code": fault.code, "message": fault.message}, fault.status)
        except (KeyError, ValueError, TypeError) as error:
            return json_response({"code": type(error).__name__, "message": str(error)}, 400)
        return found if isinstance(found, Response) else json_response(found)

    @property
    def _listener(self) -> Listener:
        assert self.service is not None
        return self.service

    def _make_bucket(self, request: Request) -> None:
        wanted = request.json()
        if wanted["name"] not in self._objects.model.buckets:
            self._objects.make_bucket(wanted["name"], self._application.clock.now(), events=wanted.get("events", False))

    def _make_par(self, request: Request) -> str:
        """Returns the path of its URL."""
        wanted = request.json()
        bucket = found_bucket(self._objects.model, NAMESPACE, wanted["bucket"])
        expires_at = self._application.clock.now() + wanted["expires_in_s"]
        details = {
            "name": f"par-{uuid.uuid4()}",
            "objectName": wanted["name"],
            "accessType": wanted["access"],
            "timeExpires": timestamp(expires_at),
        }
        return str(self._objects.pars.create(bucket, details, self._application.clock.now())["accessUri"])

    def _make_queue(self, request: Request) -> str:
        """Returns its id."""
        wanted = request.json()
        return self._queues.create_queue(wanted.pop("name"), QueueConfig(**wanted))

    def _advance(self, request: Request) -> float:
        self._journal.commit(CLOCK, {"seconds": request.json()["seconds"]})
        return self._application.clock.now()

    def _switch(self, request: Request) -> None:
        for name, value in request.json().items():
            self._application.faults.switch(name, value)

    def _set_checking(self, request: Request) -> None:
        self._signatures.checking = Checking(request.json()["checking"])

    def _dump(self, request: Request) -> dict[str, Any]:
        model = self._objects.model
        with model.lock:
            buckets = {
                bucket.name: {name: self._described(bucket.name, name) for name in sorted(bucket.objects)}
                for bucket in model.buckets.values()
            }
        return {"now": self._application.clock.now(), "buckets": buckets, "queues": self._queues.dump()}

    def _described(self, bucket: str, name: str) -> dict[str, Any]:
        found = self._objects.model.buckets[bucket].objects[name]
        return {"etag": found.etag, "size": len(found.body), "headers": found.headers, "modified_at": found.modified_at}

    def _reset(self, request: Request) -> None:
        """Everything but the keys and the time."""
        self._listener.up()
        self._application.faults.clear()
        self._signatures.checking = Checking.STRICT
        self._objects.model.change("clear")
        self._queues.reset()
        self._log.clear()
        self._events.clear()

    def _forward_events(self, request: Request) -> None:
        self._events.forward(**request.json())

    def _put_object(self, request: Request) -> str:
        """Returns its ETag. Headers named emu-... are the object's, without that prefix."""
        bucket, name = request.path_parts[2], "/".join(request.path_parts[3:])
        found_bucket(self._objects.model, NAMESPACE, bucket)
        headers = {key.removeprefix("emu-"): value for key, value in request.headers.items() if key.startswith("emu-")}
        return self._objects.store(bucket, name, request.body, headers, self._application.clock.now()).etag

    def _get_object(self, request: Request) -> Response:
        bucket, name = request.path_parts[2], "/".join(request.path_parts[3:])
        return Response(200, {}, found_object(found_bucket(self._objects.model, NAMESPACE, bucket), name).body)

    def _delete_object(self, request: Request) -> None:
        bucket, name = request.path_parts[2], "/".join(request.path_parts[3:])
        with self._objects.model.lock:
            found_object(found_bucket(self._objects.model, NAMESPACE, bucket), name)
            self._objects.model.change("remove", bucket=bucket, name=name)


def _seed(request: Request) -> int | None:
    return int(request.query["seed"]) if "seed" in request.query else None
