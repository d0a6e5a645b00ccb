"""One queue of the OCI Queue service: the few calls this worker makes, and what their failures mean."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from oci.exceptions import ServiceError
from oci.queue import QueueClient
from oci.queue.models import (
    GetMessage,
    MessageMetadata,
    PutMessagesDetails,
    PutMessagesDetailsEntry,
    Queue,
    QueueStats,
    UpdateMessageDetails,
    UpdateMessagesDetails,
    UpdateMessagesDetailsEntry,
)

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.oci_access.access import OciAccess, Renewing
from transcriber_worker.oci_access.faults import Fault, describe, fault_of

BATCH = 20
"""Most messages of one answer."""
LONGEST_VISIBILITY_S = 43_200
LONGEST_POLL_S = 20
_POLL_READ_TIMEOUT_S = LONGEST_POLL_S + 10.0
_LEASE_READ_TIMEOUT_S = 10.0

SILENT_S = 1.5
"""Under a third of the shortest lease, so that the next beat of the heart asks again."""

_LOST = (Fault.INVALID, Fault.NOT_FOUND, Fault.CONFLICT)
"""Which of 400, 404 and 409 a receipt gets that is no longer valid is documented nowhere; all may mean it."""
_CLOSED_TO_US = (Fault.NOT_FOUND, Fault.DENIED)


class Refused(Exception):
    """The queue does not take this message: for its size or its channel."""


class NotAllowed(Refused):
    """It takes none from this worker."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the service told it. Times: Unix seconds by the service's clock."""

    id: int
    content: str
    receipt: str
    deliveries: int
    created_at: float
    expires_at: float
    told_at: float
    """When the service handed it out."""
    channel: str | None
    properties: Mapping[str, str]


class OciQueue:
    """Thread-safe. Every method may raise `EnvironmentDown`. Polling, leases and publishing have a client each, so that
    none waits for another's connections."""

    def __init__(
        self,
        access: OciAccess,
        queue_id: str,
        endpoint: str | None,
        admin_endpoint: str | None,
        clock: Clock,
        lease_s: float = math.inf,
    ) -> None:
        self.name = queue_id.rpartition(".")[2]
        """The part of its OCID that tells queues apart."""
        self._access = access
        self._queue_id = queue_id
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoint = endpoint
        self._silent_until = float("-inf")
        self._admin = Renewing(access, lambda: access.queue_admin(admin_endpoint))
        self._poller = Renewing(access, lambda: self._client(_POLL_READ_TIMEOUT_S))
        # Leases are renewed one after the other: two silent answers to one must leave time for the others.
        silence_s = min(_LEASE_READ_TIMEOUT_S, lease_s / 4)
        self._leases = Renewing(access, lambda: self._client(silence_s))
        self._publisher = Renewing(access, lambda: self._client(_LEASE_READ_TIMEOUT_S))

    def max_deliveries(self) -> int | None:
        """After how many deliveries the service moves a message to its dead-letter queue; 0: never. None where this
        worker may not know."""
        try:
            queue = self._described()
        except Exception as error:
            if fault_of(error) in _CLOSED_TO_US:
                return None
            raise self._outage(error, "asked for its settings") from None
        count = getattr(queue, "dead_letter_queue_delivery_count", None)
        return count if isinstance(count, int) else None

    def receive(self, limit: int, poll_s: int, lease_s: int, channel: str | None) -> Sequence[Received]:
        """Up to `limit` messages, waiting up to `poll_s` for the first."""
        options = {"channel_filter": channel} if channel is not None else {}
        try:
            answer = self._poller.call(
                lambda client: client.get_messages(
                    self._queue_id,
                    limit=min(limit, BATCH),
                    timeout_in_seconds=min(poll_s, LONGEST_POLL_S),
                    visibility_in_seconds=lease_s,
                    retry_strategy=self._access.lease_retries,  # who asks pauses and asks again by himself
                    **options,
                )
            )
        except Exception as error:
            raise self._outage(error, "read", "use queue-pull") from None
        date = _date(answer.headers, self._clock)
        # An empty answer, and one that is no JSON, have no list of messages at all.
        messages = getattr(answer.data, "messages", None) or ()
        return [received for message in messages if (received := _received(message, date, lease_s)) is not None]

    def stats(self, channel: str | None) -> QueueStats | None:
        """How many messages there are, by the service's count; None for half an answer."""
        options = {"channel_id": channel} if channel is not None else {}
        try:
            answer = self._poller.call(lambda client: client.get_stats(self._queue_id, **options))
        except Exception as error:
            raise self._outage(error, "asked for its figures", "read queues") from None
        return answer.data if isinstance(answer.data, QueueStats) else None

    def keep(self, receipt: str, visibility_s: int) -> bool:
        """Hide a message from others for `visibility_s` from now; 0: let it go. False: it is not ours any more.

        After a call that got no answer at all others fail at once for a while: they are made one after the other, and
        each waiting for its own timeout would lose the leases that the outage would have spared."""
        if self._clock.monotonic() < self._silent_until:
            raise EnvironmentDown(f"queue {self.name} did not answer a moment ago", PauseReason.BROKER)
        details = UpdateMessageDetails(visibility_in_seconds=visibility_s)
        retries = self._access.lease_retries
        return self._with_receipt(
            lambda client: client.update_message(self._queue_id, receipt, details, retry_strategy=retries)
        )

    def release(self, receipts: Sequence[str]) -> None:
        """Let messages go, many at once; those that are not ours any more are passed over."""
        entries = [UpdateMessagesDetailsEntry(receipt=receipt, visibility_in_seconds=0) for receipt in receipts]
        for start in range(0, len(entries), BATCH):
            self._release(UpdateMessagesDetails(entries=entries[start : start + BATCH]))

    def delete(self, receipt: str) -> None:
        """Remove a message for good, if it is still ours."""
        retries = self._access.lease_retries
        self._with_receipt(lambda client: client.delete_message(self._queue_id, receipt, retry_strategy=retries))

    def put(
        self,
        content: str,
        channel: str | None = None,
        properties: Mapping[str, str] | None = None,
        *,
        hurried: bool = False,
    ) -> int:
        """Publish; returns the message's number. Raises `Refused` or `NotAllowed`. Where an answer is lost the message
        may be there twice. `hurried`: leases end while this is tried."""
        metadata = MessageMetadata(channel_id=channel, custom_properties=dict(properties or {})) if channel else None
        entry = PutMessagesDetailsEntry(content=content, metadata=metadata)
        details = PutMessagesDetails(messages=[entry])
        retries = self._access.lease_retries if hurried else self._access.retries
        try:
            answer = self._publisher.call(
                lambda client: client.put_messages(self._queue_id, details, retry_strategy=retries)
            )
        except Exception as error:
            fault = fault_of(error)
            if fault is Fault.INVALID:
                size_bytes = len(content.encode())
                raise Refused(
                    f"queue {self.name} does not take a message of {size_bytes} bytes ({describe(error)})"
                ) from None
            if fault in _CLOSED_TO_US:
                raise NotAllowed(str(self._outage(error, "written to", "use queue-push"))) from None
            raise self._outage(error, "written to", "use queue-push") from None
        put = getattr(answer.data, "messages", None)
        if not put or not isinstance(put[0].id, int):
            raise EnvironmentDown(f"queue {self.name} gave no answer to a publication", PauseReason.BROKER)
        return put[0].id

    def _release(self, details: UpdateMessagesDetails) -> None:
        retries = self._access.lease_retries
        self._with_receipt(lambda client: client.update_messages(self._queue_id, details, retry_strategy=retries))

    def _with_receipt(self, call: Callable[[QueueClient], object]) -> bool:
        """Whether a call on receipts was taken, rather than refused for their sake."""
        try:
            self._leases.call(call)
        except Exception as error:
            if fault_of(error) in _LOST:
                return False
            if not isinstance(error, ServiceError):
                self._silent_until = self._clock.monotonic() + SILENT_S
            raise self._outage(error, "asked to keep a message", "use queue-pull") from None
        return True

    def _described(self) -> Queue:
        return self._admin.call(
            lambda client: client.get_queue(self._queue_id, retry_strategy=self._access.lease_retries)
        ).data

    def _client(self, read_timeout_s: float) -> QueueClient:
        return self._access.queue(self._messages_endpoint(), read_timeout_s=read_timeout_s)

    def _messages_endpoint(self) -> str:
        with self._lock:
            if self._endpoint is None:
                self._endpoint = self._discovered()
            return self._endpoint

    def _discovered(self) -> str:
        try:
            queue = self._described()
        except Exception as error:
            if fault_of(error) in _CLOSED_TO_US:
                raise EnvironmentDown(
                    f"where are the messages of queue {self.name}? It is not there, or this worker may not read its "
                    f"settings: allow `read queues`, or set broker.oci_queue.endpoint ({describe(error)})",
                    PauseReason.BROKER,
                ) from None
            raise self._outage(error, "asked for its endpoint") from None
        endpoint = getattr(queue, "messages_endpoint", None)
        if not isinstance(endpoint, str):
            raise EnvironmentDown(f"queue {self.name} does not say where its messages are", PauseReason.BROKER)
        return endpoint

    def _outage(self, error: Exception, what: str, policy: str = "read queues") -> Exception:
        """What to raise for a failed call; an error that is not the service's stays what it is."""
        fault = fault_of(error)
        if fault is None:
            return error
        if fault is Fault.CREDENTIALS:
            return EnvironmentDown(
                f"queue {self.name} does not accept this worker's credentials ({describe(error)}): look at the oci "
                "settings, the key or token, and the clock",
                PauseReason.CREDENTIALS,
            )
        hint = (
            f": is there such a queue, is its endpoint right, is `{policy}` allowed?"
            if fault in (*_CLOSED_TO_US, Fault.INVALID)
            else ""
        )
        return EnvironmentDown(f"queue {self.name} can't be {what} ({describe(error)}){hint}", PauseReason.BROKER)


def _received(message: GetMessage, date: float, lease_s: int) -> Received | None:
    """`date`: the answer's. None for what lacks a part that every message has: half an answer."""
    times = (message.created_at, message.expire_after, message.visible_after)
    if None in (message.id, message.content, message.receipt, message.delivery_count) or not all(
        isinstance(time, datetime) for time in times
    ):
        return None
    # The date may be that of the question; a lease that was cut short by the retention says too little. Never too much.
    told_at = max(date, message.visible_after.timestamp() - lease_s)
    metadata = message.metadata
    return Received(
        id=int(message.id),
        content=str(message.content),
        receipt=str(message.receipt),
        deliveries=int(message.delivery_count),
        created_at=message.created_at.timestamp(),
        expires_at=message.expire_after.timestamp(),
        told_at=told_at,
        channel=metadata.channel_id if metadata else None,
        properties=dict((metadata.custom_properties if metadata else None) or {}),
    )


def _date(headers: Mapping[str, str], clock: Clock) -> float:
    """The service's time: retention goes by it, and this machine's clock may be wrong."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return clock.now()
