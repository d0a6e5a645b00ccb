"""Kafka as a broker: Apache Kafka, OCI Streaming's Kafka endpoint, OCI Streaming with Apache Kafka.

A partition is committed as far as everything before is done; jobs end in any order. Whoever has a partition has its
messages, so there are no leases: the jobs' records keep two workers off one job while a partition moves.
"""

import threading
from collections.abc import Mapping, Sequence

from confluent_kafka import Message as Record

from transcriber_worker.brokers.base import DeadLetters, Delivery, Message
from transcriber_worker.brokers.kafka_delivery import KafkaDelivery
from transcriber_worker.brokers.kafka_errors import MessageTooLarge, TopicRefused, unreachable
from transcriber_worker.brokers.kafka_intake import Intake
from transcriber_worker.brokers.kafka_letters import KafkaDeadLetters
from transcriber_worker.brokers.kafka_messages import Headers, Parcel, message_id, republication, wire_headers
from transcriber_worker.brokers.kafka_poll import Poller
from transcriber_worker.brokers.kafka_probe import Probe
from transcriber_worker.brokers.kafka_producer import KafkaPublisher, Publication
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

_PROBE_S = 0.5
_HOLD_AGAIN_S = 10.0
"""A message that could not be published anew just now."""
_SHUN_S = 60.0
"""How long a topic that a request names and that can't be written is not tried again: finding out takes seconds."""


class KafkaBroker:
    """A `Broker`. The consumer joins its group at the first `receive`, the producer starts at its first use."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._closed = threading.Event()
        self._results = settings.results_topic or f"{settings.topic}-results"
        self._shunned: dict[str, float] = {}
        self._intake = Intake(settings, clock)
        self._publisher = KafkaPublisher(settings, clock)
        self._dead_letters = KafkaDeadLetters(settings, self._publisher, clock)
        self._probe = Probe(settings, clock)
        self._poller = Poller(settings, self._intake, metrics, clock, self._begin_publishing_anew)

    @property
    def dead_letters(self) -> DeadLetters:
        return self._dead_letters

    def receive(self, limit: int, wait_s: float) -> Sequence[Delivery]:
        deadline = self._clock.monotonic() + wait_s
        if self._closed.is_set():
            return ()
        self._poller.start()
        while limit > 0 and not self._closed.is_set():
            parcels = self._intake.take(limit)
            if parcels:
                return [self._delivery(parcel) for parcel in parcels]
            self._check()
            remaining_s = deadline - self._clock.monotonic()
            if remaining_s <= 0:
                break
            due_s = self._intake.next_due_s()
            self._clock.wait(self._intake.arrived, remaining_s if due_s is None else min(remaining_s, due_s))
        return ()

    def publish(self, body: bytes, headers: Mapping[str, str]) -> str:
        try:
            record = self._publisher.publish(self._request(body, wire_headers(headers)))
        except MessageTooLarge as error:
            raise RejectJob(Reason.INVALID_REQUEST, str(error)) from None
        return message_id(record)

    def announce(self, event_id: str, body: bytes, reply_to: str | None) -> None:
        headers = wire_headers(
            {"content-type": "application/cloudevents+json", "event-id": event_id, "ce_id": event_id}
        )
        key = event_id.partition(":")[0]
        if reply_to in self._settings.reply_topics and self._clock.monotonic() >= self._shunned.get(reply_to, 0.0):
            try:
                self._publisher.publish(Publication(reply_to, "broker.kafka.reply_topics", body, headers, key))
                return
            except (TopicRefused, MessageTooLarge) as error:
                if isinstance(error, TopicRefused):
                    self._shunned[reply_to] = self._clock.monotonic() + _SHUN_S
                emit(events.BROKER_TOPIC_REFUSED, message=str(error))
        self._publisher.publish(Publication(self._results, "broker.kafka.results_topic", body, headers, key))

    def close(self) -> None:
        self._closed.set()
        self._intake.arrived.set()
        self._poller.stop()
        self._publisher.close()

    def _delivery(self, parcel: Parcel) -> Delivery:
        return KafkaDelivery(parcel, self._intake, self._settings.hold_s, self._publish_anew)

    def _check(self) -> None:
        """Raise what keeps messages from coming, if anything is known to."""
        connection = self._poller.connection
        refusal, down_s = connection.refusal, connection.down_s
        if down_s is not None and self._probe.reach(_PROBE_S):
            connection.reached()
        elif refusal is not None:
            raise refusal
        elif down_s is not None and down_s >= self._settings.request_timeout_s:
            raise unreachable()

    def _request(self, body: bytes, headers: Headers) -> Publication:
        return Publication(self._settings.topic, "broker.kafka.topic", body, headers)

    def _publish_anew(self, message: Message, delay_s: float) -> bool:
        headers = republication(message, self._clock.now() + delay_s)
        try:
            self._publisher.publish(self._request(message.body, headers))
        except MessageTooLarge:
            return False
        self._metrics.broker_republished.inc()
        return True

    def _begin_publishing_anew(self, parcel: Parcel) -> None:
        """A message that must wait for longer than it may be held; on the poll thread, which does not wait."""

        def told(record: Record | None, _failure: EnvironmentDown | None) -> None:
            if record is None:
                self._intake.put_back(parcel, _HOLD_AGAIN_S)
            else:
                self._metrics.broker_republished.inc()
                self._intake.finish(parcel)

        headers = republication(parcel.message, parcel.not_before or 0.0)
        try:
            self._publisher.begin(self._request(parcel.message.body, headers), told)
        except EnvironmentDown:
            self._intake.put_back(parcel, _HOLD_AGAIN_S)
