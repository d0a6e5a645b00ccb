"""One message of Kafka with a job."""

import threading
from typing import Protocol

from transcriber_worker.brokers.base import Message
from transcriber_worker.brokers.kafka_intake import Intake
from transcriber_worker.brokers.kafka_messages import Parcel
from transcriber_worker.domain.errors import EnvironmentDown, LeaseLost


class Republish(Protocol):
    def __call__(self, message: Message, delay_s: float) -> bool:
        """Publish the message anew, not to be tried for `delay_s`; false where it is too large for that. Raises
        `EnvironmentDown`."""
        ...


class KafkaDelivery:
    """A `Delivery`. There is no lease: who has the partition has its messages. A job whose partition has moved goes on;
    its record keeps the new owner waiting, and ending the delivery counts only if the partition has come back."""

    def __init__(self, parcel: Parcel, intake: Intake, hold_s: float, republish: Republish) -> None:
        self._parcel = parcel
        self._intake = intake
        self._hold_s = hold_s
        self._republish = republish
        self._lock = threading.Lock()
        self._over = False
        self._given_back = False

    @property
    def message(self) -> Message:
        return self._parcel.message

    def extend(self) -> None:
        if self._given_back:
            raise LeaseLost(self.message.id)

    def settle(self) -> None:
        with self._lock:
            if not self._over:
                self._over = True
                self._intake.finish(self._parcel)

    def give_back(self, delay_s: float = 0.0) -> None:
        with self._lock:
            if self._over:
                return
            if delay_s > self._hold_s and self._intake.owns(self._parcel):
                self._publish_anew(delay_s)
            else:
                self._intake.put_back(self._parcel, delay_s)
            self._over = self._given_back = True

    def _publish_anew(self, delay_s: float) -> None:
        try:
            published = self._republish(self.message, delay_s)
        except EnvironmentDown:
            published = False  # no lease runs out here: a message that its job lets go of without an end never ends
        if published:
            self._intake.finish(self._parcel)
        else:
            self._intake.put_back(self._parcel, delay_s)
