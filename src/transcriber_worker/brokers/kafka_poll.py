"""The poll thread: the only one that talks to the consumer. It never waits for anything but messages, and nothing that
a broker can answer ends it: a consumer that stops polling holds up its whole group."""

import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as Record

from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.brokers.kafka_group import Membership
from transcriber_worker.brokers.kafka_intake import Intake
from transcriber_worker.brokers.kafka_messages import Parcel, parcel_of
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

_POLL_S = 0.05
"""How late room, a finished job or a message that is due may be noticed; a new message ends the wait at once."""
_WAIT_FOR_ROOM_S = 0.25
"""Before the partitions are paused, which costs a second when they are resumed."""
_COUNT_EVERY_S = 1.0
_REJOIN_S = 10.0
_BREATH_S = 0.2
_LEAVE_S = 15.0


class Poller:
    """Keeps this worker in its group and `intake` filled. `early` is told of messages that were held for as long as may
    be and are still not due; it must not block."""

    def __init__(
        self,
        settings: KafkaBrokerSettings,
        intake: Intake,
        metrics: Metrics,
        clock: Clock,
        early: Callable[[Parcel], None],
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._metrics = metrics
        self._clock = clock
        self._early = early
        self.connection = Connection(settings, clock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._membership: Membership | None = None
        self._rejoin_at = self._count_at = float("-inf")

    def start(self) -> None:
        """Join the group, once; raises `EnvironmentDown` where there can be no client."""
        if self._thread is None:
            self._membership = self._joined()
            self._thread = threading.Thread(target=self._run, name="kafka-poll", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Commit what is done and leave the group; returns when that is done, or has taken too long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)

    def _joined(self) -> Membership:
        self._rejoin_at = self._clock.monotonic() + _REJOIN_S
        return Membership(self._settings, self.connection, self._intake, self._metrics, self._clock)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:
                self._survive(error)
        try:
            if self._membership is not None:
                self._membership.leave()
        except Exception as error:
            self._survive(error)

    def _turn(self) -> None:
        membership = self._membership
        if membership is None or self._must_rejoin():
            self._rejoin()
            return
        if not self._clock.wait(self._intake.room, _WAIT_FOR_ROOM_S):
            self._intake.shut()
            membership.pause_and_resume()
        record = membership.poll(_POLL_S)
        while record is not None:
            self._take_in(membership, record)
            record = membership.poll(0) if self._intake.room.is_set() else None
        self._intake.tell_of_arrivals()
        membership.keep_up()
        for parcel in self._intake.take_early():
            self._early(parcel)
        if self._clock.monotonic() >= self._count_at:
            self._count_at = self._clock.monotonic() + _COUNT_EVERY_S
            membership.count()

    def _take_in(self, membership: Membership, record: Record) -> None:
        error = record.error()
        if error is None:
            parcel = parcel_of(record)
            membership.started(parcel.partition)
            self._intake.put(parcel)
            if self._intake.is_closed(parcel.partition):
                membership.pause_and_resume()  # before the next one comes
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            membership.no_place_to_begin(record.partition() or 0, record.offset())
        else:
            if error.code() == KafkaError._MAX_POLL_EXCEEDED:
                membership.put_out()
            self.connection.failed(error)

    def _must_rejoin(self) -> bool:
        """A client that is broken for good, or was refused, is made anew: that shows whether it still is."""
        bad = self.connection.fatal or self.connection.refusal is not None
        return self.connection.stale or (bad and self._clock.monotonic() >= self._rejoin_at)

    def _rejoin(self) -> None:
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.abandon()
        self._membership = self._joined()

    def _survive(self, error: Exception) -> None:
        if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
            self.connection.failed(error.args[0])
        elif isinstance(error, EnvironmentDown):
            self.connection.refuse(error)
        else:
            emit(events.UNEXPECTED_ERROR, error=type(error).__name__, exc_info=error)
        self._clock.wait(self._stop, _BREATH_S)
