"""The Events service, as far as it tells of objects: CloudEvents 0.1, and a function that puts them onto a queue."""

import json
import threading
import uuid
from collections import deque
from typing import Any, Protocol

from tests.oci_emulator.journal import Change, Journal
from tests.oci_emulator.objects_model import NAMESPACE
from tests.oci_emulator.wire import timestamp

SERVICE = "events"
_KEPT = 10_000
_COMPARTMENT = "ocid1.compartment.oc1..emu"


class Publishing(Protocol):
    """How a message gets onto a queue."""

    def __call__(self, queue_id: str, content: str) -> None: ...


class ObjectEvents:
    """Thread-safe. Only buckets with events enabled call `tell`."""

    def __init__(self, publish: Publishing, journal: Journal) -> None:
        self._publish = publish
        self._journal = journal
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._rules: dict[str, tuple[str, bool]] = {}
        journal.register(SERVICE, self._apply)

    def forward(self, bucket: str, queue_id: str, *, wrapped: bool) -> None:
        """From now on a bucket's events go to a queue. `wrapped`: by a function that adds an envelope of its own."""
        self._journal.commit(SERVICE, {"bucket": bucket, "queue_id": queue_id, "wrapped": wrapped})

    def tell(self, kind: str, bucket: str, name: str, etag: str, at: float) -> None:
        """`kind`: createobject, updateobject, deleteobject. `at`: virtual time."""
        event = cloud_event(kind, bucket, name, etag, at)
        with self._lock:
            self._events.append(event)
            queue_id, wrapped = self._rules.get(bucket, ("", False))
        if queue_id:
            body = {"functionId": "ocid1.fnfunc.oc1..emu", "event": event} if wrapped else event
            self._publish(queue_id, json.dumps(body, ensure_ascii=False))

    def told(self) -> list[dict[str, Any]]:
        """The last ones since the start, oldest first: for tests that carry them elsewhere, such as to Kafka."""
        with self._lock:
            return list(self._events)

    def clear(self) -> None:
        with self._lock:
            self._events.clear()
        self._journal.commit(SERVICE, {"bucket": None})

    def _apply(self, change: Change, blob: bytes) -> None:
        with self._lock:
            if change["bucket"] is None:
                self._rules.clear()
            else:
                self._rules[change["bucket"]] = (change["queue_id"], change["wrapped"])


def cloud_event(kind: str, bucket: str, name: str, etag: str, at: float) -> dict[str, Any]:
    """As captured from the real service."""
    return {
        "eventType": f"com.oraclecloud.objectstorage.{kind}",
        "cloudEventsVersion": "0.1",
        "eventTypeVersion": "2.0",
        "source": "ObjectStorage",
        "eventTime": timestamp(at),
        "contentType": "application/json",
        "data": {
            "compartmentId": _COMPARTMENT,
            "compartmentName": "emu",
            "resourceName": name,
            "resourceId": f"/n/{NAMESPACE}/b/{bucket}/o/{name}",
            "availabilityDomain": "FRA-AD-1",
            "additionalDetails": {
                "bucketName": bucket,
                "archivalState": "Available",
                "namespace": NAMESPACE,
                "bucketId": f"ocid1.bucket.oc1..{bucket}",
                "eTag": etag,
            },
        },
        "eventID": str(uuid.uuid4()),
        "extensions": {"compartmentId": _COMPARTMENT},
    }
