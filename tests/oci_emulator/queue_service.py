"""The HTTP half of the emulated Queue service: paths, JSON shapes, limits, long polls, faults."""

import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.oci_emulator.clock import VirtualClock
from tests.oci_emulator.faults import FaultKind, Faults
from tests.oci_emulator.journal import Change, Journal
from tests.oci_emulator.queue_json import (
    BATCH,
    LARGEST_PUT_BYTES,
    LONGEST_POLL_S,
    LONGEST_VISIBILITY_S,
    Queue,
    config_of,
    count_json,
    entries_of,
    entry_of,
    invalid,
    message_json,
    not_found,
    receipt_of,
    visibility_of,
)
from tests.oci_emulator.queue_model import Entry, QueueConfig, QueueModel, ReceiptRefused, Refusal, Stored
from tests.oci_emulator.wire import Request, Response, ServiceFault, json_response, timestamp

VERSION = "20210201"

OUT_OF_ORDER = "queue_out_of_order"
"""Switch: messages come in any order."""
STRICT_RECEIPTS = "stale_receipt_strict"
"""Switch, on unless turned off: a receipt ends with its visibility, not only when somebody else got the message."""
CLIP_AT_RETENTION = "queue_clip_at_retention"
"""Switch, on unless turned off: a visibility past the retention is cut short; off: it is refused with 400."""

_ROUTES = {
    "POST queues": "CreateQueue",
    "GET queues/{}": "GetQueue",
    "POST queues/{}/actions/purge": "PurgeQueue",
    "GET queues/{}/messages": "GetMessages",
    "POST queues/{}/messages": "PutMessages",
    "DELETE queues/{}/messages/{}": "DeleteMessage",
    "PUT queues/{}/messages/{}": "UpdateMessage",
    "POST queues/{}/messages/actions/deleteMessages": "DeleteMessages",
    "POST queues/{}/messages/actions/updateMessages": "UpdateMessages",
    "GET queues/{}/stats": "GetStats",
    "GET queues/{}/channels": "ListChannels",
}


class QueueService:
    """A `Service`. Every change goes through the journal, as the call that made it."""

    def __init__(self, clock: VirtualClock, faults: Faults, journal: Journal | None = None) -> None:
        self._clock = clock
        self._faults = faults
        self._journal = journal or Journal()
        self._journal.register("queue", self._apply)
        self._queues: dict[str, Queue] = {}
        self._changed = threading.Condition()
        self._applied: Any = None
        self._operations: Mapping[str, Callable[[Request], Response]] = {
            name: getattr(self, "_" + re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()) for name in _ROUTES.values()
        }

    def operation(self, request: Request) -> str | None:
        version, *parts = request.path_parts
        if version != VERSION:
            return None
        if len(parts) > 1:
            parts[1] = "{}"  # the queue's id
        if len(parts) == 4 and parts[2] == "messages":
            parts[3] = "{}"  # a receipt
        return _ROUTES.get(f"{request.method} {'/'.join(parts)}")

    def handle(self, request: Request) -> Response | None:
        operation = self.operation(request)
        return None if operation is None else self._operations[operation](request)

    def create_queue(
        self, name: str, config: QueueConfig | None = None, compartment: str = "ocid1.compartment.oc1..emulated"
    ) -> str:
        """Returns its OCID, the same for the same name; a queue that is there stays as it is."""
        id_ = f"ocid1.queue.oc1.emulated.{re.sub('[^a-z0-9]', '', name.lower())}"
        with self._changed:
            if id_ not in self._queues:
                fields = {"name": name, "compartment": compartment, "config": asdict(config or QueueConfig())}
                self._commit("create", id_, self._clock.now(), fields)
        return id_

    def reset(self) -> None:
        """Forget every queue."""
        with self._changed:
            self._commit("reset", "", self._clock.now(), {})

    def dump(self) -> dict[str, Any]:
        """Everything there is, by queue, for the control API."""
        with self._changed:
            now = self._clock.now()
            return {
                queue.id: [asdict(message) for message in queue.model.messages(now)] for queue in self._queues.values()
            }

    def _create_queue(self, request: Request) -> Response:
        details = request.json()
        name, compartment = details.get("displayName"), details.get("compartmentId")
        if not isinstance(name, str) or not name or not isinstance(compartment, str) or not compartment:
            raise invalid("displayName and compartmentId are required")
        config = config_of(details)
        id_ = self.create_queue(name, config, compartment)
        return Response(202, {"opc-work-request-id": f"ocid1.queueworkrequest.oc1.emulated.{id_[-12:]}"})

    def _get_queue(self, request: Request) -> Response:
        with self._changed:
            queue = self._queue(request)
        endpoint = f"http://{request.headers['host']}"
        return json_response(queue.described(endpoint), headers={"etag": f"{queue.id[-12:]}-1"})

    def _purge_queue(self, request: Request) -> Response:
        details = request.json()
        kind = details.get("purgeType")
        if kind not in ("NORMAL", "DLQ", "BOTH"):
            raise invalid("purgeType must be NORMAL, DLQ or BOTH")
        fields = {"channels": details.get("channelIds", []), "alive": kind != "DLQ", "dead": kind != "NORMAL"}
        with self._changed:
            self._commit("purge", self._queue(request).id, request.now, fields)
        return Response(202, {"opc-work-request-id": "ocid1.queueworkrequest.oc1.emulated.purge"})

    def _get_messages(self, request: Request) -> Response:
        with self._changed:
            config = self._queue(request).model.config
        limit = request.integer("limit", 1, 1, BATCH)
        visibility_s = request.integer("visibilityInSeconds", config.visibility_s, 0, LONGEST_VISIBILITY_S)
        timeout_s = request.integer("timeoutInSeconds", config.timeout_s, 0, LONGEST_POLL_S)
        if self._faults.take("GetMessages", request.path, FaultKind.EARLY_EMPTY_POLL):
            return json_response({"messages": []})
        fields = {
            "limit": limit,
            "visibility_s": visibility_s,
            "channel": request.query.get("channelFilter"),
            "shuffled": bool(self._faults.switched(OUT_OF_ORDER, False)),
        }
        messages = self._poll(request, fields, self._clock.now() + timeout_s)
        return json_response({"messages": [message_json(message) for message in messages]})

    def _poll(self, request: Request, fields: dict[str, Any], until: float) -> Sequence[Stored]:
        """Wait for a message to become visible, by a put, a release or by time."""
        with self._changed:
            while True:
                now = self._clock.now()
                queue = self._queue(request)
                if queue.model.any_visible(now, fields["channel"]):
                    twice = self._faults.take("GetMessages", request.path, FaultKind.DUPLICATE) is not None
                    taken: Sequence[Stored] = self._commit("get", queue.id, now, {**fields, "twice": twice})
                    return taken
                if now >= until:
                    return ()
                comes_at = queue.model.next_visible_at(now)
                self._clock.wait(self._changed, until if comes_at is None else min(until, comes_at))

    def _put_messages(self, request: Request) -> Response:
        entries = entries_of(request.json(), "messages")
        if len(request.body) > LARGEST_PUT_BYTES:
            raise invalid(f"The request is larger than {LARGEST_PUT_BYTES} bytes")
        with self._changed:
            queue = self._queue(request)
            checked = [entry_of(entry, queue.model.config.max_message_bytes) for entry in entries]
            stored = self._commit("put", queue.id, self._clock.now(), {"entries": [asdict(entry) for entry in checked]})
            self._changed.notify_all()
        put = [{"id": message.id, "expireAfter": timestamp(message.expires_at)} for message in stored]
        return json_response({"messages": put})

    def _delete_message(self, request: Request) -> Response:
        with self._changed:
            self._delete(self._queue(request), request.path_parts[-1], "DeleteMessage", request)
        return Response(204)

    def _update_message(self, request: Request) -> Response:
        visibility_s = visibility_of(request.json())
        with self._changed:
            queue = self._queue(request)
            return json_response(self._update(queue, request.path_parts[-1], visibility_s, "UpdateMessage", request))

    def _delete_messages(self, request: Request) -> Response:
        def delete(queue: Queue, entry: Mapping[str, Any]) -> dict[str, Any]:
            self._delete(queue, receipt_of(entry), "DeleteMessages", request)
            return {}

        return self._batch(request, delete)

    def _update_messages(self, request: Request) -> Response:
        def update(queue: Queue, entry: Mapping[str, Any]) -> dict[str, Any]:
            return self._update(queue, receipt_of(entry), visibility_of(entry), "UpdateMessages", request)

        return self._batch(request, update)

    def _batch(self, request: Request, one: Callable[[Queue, Mapping[str, Any]], dict[str, Any]]) -> Response:
        """200 whatever becomes of the entries; each says for itself."""
        entries = entries_of(request.json(), "entries")
        results: list[dict[str, Any]] = []
        failures = {"serverFailures": 0, "clientFailures": 0}
        operation = str(self.operation(request))
        with self._changed:
            queue = self._queue(request)
            for entry in entries:
                try:
                    fault = self._faults.take(operation, request.path, FaultKind.ENTRY_FAILURE)
                    if fault is not None:
                        raise ServiceFault(fault.status, fault.code, fault.message)
                    results.append(one(queue, entry))
                except ServiceFault as failed:
                    failures["serverFailures" if failed.status >= 500 else "clientFailures"] += 1
                    results.append({"errorCode": failed.status, "errorMessage": failed.message})
        return json_response({**failures, "entries": results})

    def _get_stats(self, request: Request) -> Response:
        channel = request.query.get("channelId")
        with self._changed:
            queue, dead = self._queue(request).model.stats(self._clock.now(), channel)
        stats: dict[str, Any] = {"queue": count_json(queue), "dlq": count_json(dead)}
        for name in ("channelId", "consumerGroupId"):
            if name in request.query:
                stats[name] = request.query[name]
        return json_response(stats)

    def _list_channels(self, request: Request) -> Response:
        limit = request.integer("limit", 10, 1, 1000)
        start = request.integer("page", 0, 0, 10**9)
        with self._changed:
            channels = self._queue(request).model.channels(self._clock.now())
        wanted = request.query.get("channelFilter")
        if wanted is not None:
            channels = [channel for channel in channels if channel == wanted]
        more = {"opc-next-page": str(start + limit)} if len(channels) > start + limit else {}
        return json_response({"items": channels[start : start + limit]}, headers=more)

    def _delete(self, queue: Queue, receipt: str, operation: str, request: Request) -> None:
        now = self._clock.now()
        self._check(queue, now, receipt, 0, operation, request)
        self._commit("delete", queue.id, now, {"receipt": receipt})

    def _update(
        self, queue: Queue, receipt: str, visibility_s: int, operation: str, request: Request
    ) -> dict[str, Any]:
        now = self._clock.now()
        self._check(queue, now, receipt, visibility_s, operation, request)
        message: Stored = self._commit("update", queue.id, now, {"receipt": receipt, "visibility_s": visibility_s})
        self._changed.notify_all()
        return {"id": message.id, "visibleAfter": timestamp(message.visible_at)}

    def _check(
        self, queue: Queue, now: float, receipt: str, visibility_s: int, operation: str, request: Request
    ) -> None:
        strict = bool(self._faults.switched(STRICT_RECEIPTS, True))
        clip = bool(self._faults.switched(CLIP_AT_RETENTION, True))
        try:
            queue.model.check(now, receipt, visibility_s, strict=strict, clip=clip)
        except ReceiptRefused as refused:
            if refused.refusal is not Refusal.STALE:
                raise invalid(f"The receipt or visibility is invalid: {refused}") from None
            fault = self._faults.take(operation, request.path, FaultKind.STALE_RECEIPT)
            if fault is not None:
                raise ServiceFault(fault.status, fault.code, fault.message) from None
            raise not_found("The message was not found") from None

    def _queue(self, request: Request) -> Queue:
        queue = self._queues.get(request.path_parts[2])
        if queue is None:
            raise not_found("Authorization failed or requested resource not found")
        return queue

    def _commit(self, call: str, queue_id: str, now: float, fields: Mapping[str, Any]) -> Any:
        """Make a change and return what the model says to it. With `_changed` held."""
        self._journal.commit("queue", {"call": call, "queue": queue_id, "now": now, "fields": dict(fields)})
        return self._applied

    def _apply(self, change: Change, _: bytes) -> None:
        now, fields = change["now"], dict(change["fields"])
        if change["call"] == "create":
            model = QueueModel(QueueConfig(**fields["config"]), seed=zlib.crc32(change["queue"].encode()))
            self._queues[change["queue"]] = Queue(change["queue"], fields["name"], fields["compartment"], now, model)
        elif change["call"] == "reset":
            self._queues.clear()
        else:
            if change["call"] == "put":
                fields["entries"] = [Entry(**entry) for entry in fields["entries"]]
            self._applied = getattr(self._queues[change["queue"]].model, change["call"])(now, **fields)
