"""One message of an OCI queue, leased to this worker by its receipt."""

import math
import threading
from collections.abc import Callable
from contextlib import suppress

from transcriber_worker.brokers.base import Message
from transcriber_worker.brokers.oci_queue_calls import LONGEST_VISIBILITY_S, OciQueue, Received, Refused
from transcriber_worker.brokers.oci_queue_envelope import Opened, Origin, opened, sealed
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, LeaseLost
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit

MARGIN_S = 2
"""The service tells its time in whole seconds, and the answer was on its way."""


class OciQueueDelivery:
    """A `Delivery`. `lease_s` in whole seconds; `ended` is told once that nothing is leased any more, `renewed` every
    time the message was published anew."""

    def __init__(
        self,
        queue: OciQueue,
        received: Received,
        lease_s: int,
        clock: Clock,
        ended: Callable[["OciQueueDelivery"], None],
        renewed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._received = received
        self._lease_s = lease_s
        self._clock = clock
        self._ended = ended
        self._renewed = renewed
        self._lock = threading.Lock()
        self._expires_at = clock.monotonic() + received.expires_at - received.told_at - MARGIN_S
        self._retention_s = received.expires_at - received.created_at
        self._settled = False
        self._over = False
        found = opened(received.content)
        self._message = _message(queue.name, received, found)

    @property
    def message(self) -> Message:
        return self._message

    @property
    def deliveries(self) -> int:
        return self._received.deliveries

    @property
    def nearly_expired(self) -> bool:
        """Whether a worker that dies with it now would take it with it: the retention ends before the lease."""
        return self._left_s() < self._margin_s

    @property
    def _margin_s(self) -> float:
        return min(self._lease_s, self._retention_s / 4)

    @property
    def _young(self) -> bool:
        return self._left_s() > self._retention_s / 2

    def extend(self) -> None:
        with self._lock:
            if self._settled:
                return
            if self._over:
                raise LeaseLost(self._message.id)
            left_s = self._left_s()
            # Once its retention is over the message is nobody's: the job goes on under its record alone.
            if left_s >= 1 and not self._queue.keep(self._received.receipt, min(self._lease_s, int(left_s))):
                if self._left_s() >= 1:
                    self._end()
                    raise LeaseLost(self._message.id)
            elif self.nearly_expired and left_s >= 1:
                self._publish_anew()

    def settle(self) -> None:
        with self._lock:
            if not self._over:
                self._queue.delete(self._received.receipt)
                self._settled = True
                self._end()

    def give_back(self, delay_s: float = 0.0) -> None:
        with self._lock:
            if self._over:
                return
            delay = min(LONGEST_VISIBILITY_S, max(0, math.ceil(delay_s)))
            # What becomes visible only when its retention ends is never seen again.
            latest = max(0, int(self._left_s() - self._margin_s))
            # A copy of one that is still young would gain little, and be tried at once.
            if delay > latest and not self._young and self._publish_anew():
                return
            self._queue.keep(self._received.receipt, min(delay, latest))
            self._end()

    def surrender(self) -> str | None:
        """End the delivery without a word to the service; returns the receipt that is to be released, if it is held."""
        with self._lock:
            if self._over:
                return None
            self._end()
            return self._received.receipt

    def publish_anew(self) -> bool:
        """Replace the message by a copy with a new count of deliveries and a whole retention; then this delivery is
        settled. False where the queue does not take it."""
        with self._lock:
            return self._publish_anew()

    def _publish_anew(self) -> bool:
        message = self._message
        published_at = message.published_at if message.published_at is not None else self._received.created_at
        content = sealed(message.body, message.headers, Origin(message.id, published_at))
        try:
            self._queue.put(content, self._received.channel, self._received.properties, hurried=True)
        except Refused as error:
            text = f"message {message.id} can't be kept from the queue's own end of it: {error}"
            emit(events.BROKER_ERROR, error=type(error).__name__, message=text)
            return False
        self._renewed()
        self._settled = True
        self._end()
        with suppress(EnvironmentDown):  # there are two of it then, which are one job
            self._queue.delete(self._received.receipt)
        return True

    def _left_s(self) -> float:
        return self._expires_at - self._clock.monotonic()

    def _end(self) -> None:
        self._over = True
        self._ended(self)


def _message(queue_name: str, received: Received, found: Opened) -> Message:
    origin = found.origin or Origin(f"{queue_name}/{received.id}", received.created_at)
    return Message(
        id=origin.id,
        body=found.body,
        # A copy is younger than what it is a copy of, whatever its envelope says.
        published_at=min(origin.published_at, received.created_at),
        origin=f"oci_queue:{origin.id}",
        headers=found.headers,
    )
