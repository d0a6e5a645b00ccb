"""The OCI Queue service as a broker: long polls, leases by visibility, results on a queue of their own."""

import math
import re
import threading
from collections.abc import Mapping, Sequence

from transcriber_worker.brokers.base import DeadLetters, Delivery
from transcriber_worker.brokers.oci_queue_calls import NotAllowed, OciQueue, Received, Refused
from transcriber_worker.brokers.oci_queue_delivery import OciQueueDelivery
from transcriber_worker.brokers.oci_queue_envelope import sealed
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, Reason, RejectJob
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciQueueBrokerSettings

CAUTIOUS_DELIVERIES = 3
"""Where the queue's dead-letter count can't be known: publishing anew too often costs a request, too late a job."""
ASK_AGAIN_S = 600.0
MOVE_AGAIN_S = 10.0
_CHANNEL = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class OciQueueBroker:
    """A `Broker` over the queue `settings.queue_id`. `dead_letters`: given in, because the service's own dead-letter
    queue can't be read; messages never get there by this worker's doing."""

    def __init__(
        self,
        settings: OciQueueBrokerSettings,
        access: OciAccess,
        dead_letters: DeadLetters,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._lease_s = math.ceil(settings.lease_s)
        self._dead_letters = dead_letters
        self._clock = clock
        self._metrics = metrics
        self._queue = OciQueue(
            access, settings.queue_id, settings.endpoint, settings.admin_endpoint, clock, settings.lease_s
        )
        self._results: OciQueue | None = None
        if settings.results_queue_id is not None:
            self._results = OciQueue(
                access, settings.results_queue_id, settings.results_endpoint, settings.admin_endpoint, clock
            )
        self._max_deliveries = settings.max_deliveries
        self._ask_again_at = float("-inf")
        self._move_again_at = float("-inf")
        self._closed = threading.Event()
        self._leased: set[OciQueueDelivery] = set()
        self._lock = threading.Lock()

    @property
    def dead_letters(self) -> DeadLetters:
        return self._dead_letters

    def receive(self, limit: int, wait_s: float) -> Sequence[Delivery]:
        deadline = self._clock.monotonic() + wait_s
        if limit > 0 and not self._closed.is_set():
            self._learn_limit()
        while limit > 0 and not self._closed.is_set():
            poll_s = math.ceil(max(0.0, deadline - self._clock.monotonic()))
            received = self._queue.receive(limit, poll_s, self._lease_s, self._settings.channel)
            deliveries = [self._leased_as(message) for message in received]
            taken = [delivery for delivery in deliveries if not self._moved(delivery)]
            if self._closed.is_set():
                self._let_go()
                return ()
            if taken or not received:
                return taken
        return ()

    def publish(self, body: bytes, headers: Mapping[str, str]) -> str:
        try:
            number = self._queue.put(sealed(body, headers), self._settings.channel)
        except NotAllowed as error:
            raise EnvironmentDown(str(error), PauseReason.BROKER) from None
        except Refused as error:
            raise RejectJob(Reason.INVALID_REQUEST, str(error)) from None
        return f"{self._queue.name}/{number}"

    def announce(self, event_id: str, body: bytes, reply_to: str | None) -> None:  # noqa: ARG002 - it is in the body
        if self._results is None:
            return
        content = body.decode(errors="replace")
        channel = reply_to if reply_to is not None and _CHANNEL.fullmatch(reply_to) else None
        try:
            try:
                self._results.put(content, channel)
            except Refused:
                # A publisher's reply_to must not stop the worker: there is room for so many channels only.
                self._results.put(content)
        except Refused as error:
            raise EnvironmentDown(f"a result event can't be published: {error}", PauseReason.BROKER) from None

    def close(self) -> None:
        self._closed.set()
        try:
            self._let_go()
        except EnvironmentDown as error:
            message = f"leases could not be let go of and run out by themselves: {error}"
            emit(events.BROKER_ERROR, error=type(error).__name__, message=message)

    def _leased_as(self, received: Received) -> OciQueueDelivery:
        delivery = OciQueueDelivery(
            self._queue,
            received,
            self._lease_s,
            self._clock,
            ended=self._forget,
            renewed=self._metrics.broker_republished.inc,
        )
        with self._lock:
            self._leased.add(delivery)
        return delivery

    def _moved(self, delivery: OciQueueDelivery) -> bool:
        """Publish anew what the service would soon take away; True where that was done."""
        if delivery.deliveries < self._last_delivery() and not delivery.nearly_expired:
            return False
        if self._clock.monotonic() < self._move_again_at:
            return False
        try:
            return delivery.publish_anew()
        except EnvironmentDown as error:
            # Each message trying for itself would keep those that came with it from being begun.
            self._move_again_at = self._clock.monotonic() + MOVE_AGAIN_S
            message = f"message {delivery.message.id} could not be published anew: {error}"
            emit(events.BROKER_ERROR, error=type(error).__name__, message=message)
            return False

    def _learn_limit(self) -> None:
        """Ask after how many deliveries the service takes a message away. Not knowing must not stop the worker: where
        the endpoint is given, the service that is asked may be out of reach for good."""
        if self._max_deliveries is not None or self._clock.monotonic() < self._ask_again_at:
            return
        self._ask_again_at = self._clock.monotonic() + ASK_AGAIN_S
        try:
            self._max_deliveries = self._queue.max_deliveries()
        except EnvironmentDown as error:
            emit(events.BROKER_ERROR, error=type(error).__name__, message=str(error))
        if self._max_deliveries is None:
            message = (
                f"the dead-letter delivery count of queue {self._queue.name} is taken as {CAUTIOUS_DELIVERIES}: allow "
                "`read queues`, or set broker.oci_queue.max_deliveries"
            )
            emit(events.BROKER_ERROR, message=message)
        elif self._max_deliveries == 1:
            message = (
                f"queue {self._queue.name} puts a message aside that was delivered once, and nobody can read it there: "
                "let its dead-letter delivery count be 3 or more"
            )
            emit(events.BROKER_ERROR, message=message)

    def _last_delivery(self) -> float:
        """The number of deliveries at which a message is published anew. The first never is: it would not end."""
        limit = CAUTIOUS_DELIVERIES if self._max_deliveries is None else self._max_deliveries
        return max(2, limit - 1) if limit else math.inf

    def _let_go(self) -> None:
        with self._lock:
            leased = list(self._leased)
        receipts = [receipt for delivery in leased if (receipt := delivery.surrender()) is not None]
        self._queue.release(receipts)

    def _forget(self, delivery: OciQueueDelivery) -> None:
        with self._lock:
            self._leased.discard(delivery)
