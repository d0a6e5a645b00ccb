"""Dead letters as a topic: a record per letter, a record without a body where one was resolved."""

import json
from collections.abc import Iterator
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from transcriber_worker.brokers.base import Letter
from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.brokers.kafka_errors import TopicRefused, unreachable
from transcriber_worker.brokers.kafka_messages import wire_headers
from transcriber_worker.brokers.kafka_producer import KafkaPublisher, Publication
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.settings import KafkaBrokerSettings

SETTING = "broker.kafka.dead_letter_topic"
_TOLD = ("reason", "stage", "attempts", "origin")
"""What a letter says that its record says in headers, for those who filter without reading bodies."""
_POLL_S = 0.5


def dead_letter_topic(settings: KafkaBrokerSettings) -> str:
    return settings.dead_letter_topic or f"{settings.topic}-dead-letters"


class KafkaDeadLetters:
    """`DeadLetters` in a topic, which need not be compacted: of the records with one key the last one counts. They are
    listed by the time of that one."""

    def __init__(self, settings: KafkaBrokerSettings, publisher: KafkaPublisher, clock: Clock) -> None:
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._topic = dead_letter_topic(settings)

    def put(self, letter: Letter) -> None:
        headers = wire_headers({"content-type": "application/json", **_summary(letter.body)})
        self._publisher.publish(Publication(self._topic, SETTING, letter.body, headers, key=letter.id))

    def get(self, letter_id: str) -> Letter | None:
        return next((letter for letter in self.list() if letter.id == letter_id), None)

    def list(self) -> Iterator[Letter]:
        latest: dict[bytes, Record] = {}
        for record in self._read():
            if record.key() is not None:
                latest[record.key() or b""] = record
        for record in sorted(latest.values(), key=_age):
            if record.value() is not None:
                yield Letter((record.key() or b"").decode("utf-8", "replace"), record.value() or b"")

    def resolve(self, letter_id: str) -> None:
        self._publisher.publish(Publication(self._topic, SETTING, None, [], key=letter_id))

    def _read(self) -> Iterator[Record]:
        """Every record of the topic up to now, partition by partition in order."""
        connection = Connection(self._settings, self._clock)
        properties = connection.properties(
            group_id=f"{self._settings.group}-letters-{uuid4().hex}",  # asked for, and neither joined nor committed to
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            enable_partition_eof=True,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
        )
        consumer = connection.made(lambda: Consumer(properties))
        try:
            yield from self._to_the_end(consumer, connection)
        except KafkaException as error:
            raise connection.refusal or self._failure(error.args[0]) from None
        finally:
            consumer.close()

    def _to_the_end(self, consumer: Consumer, connection: Connection) -> Iterator[Record]:
        unread = self._partitions(consumer)
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in unread])
        patience_s = self._settings.request_timeout_s
        deadline = self._clock.monotonic() + patience_s
        while unread:
            record = consumer.poll(_POLL_S)
            if record is None:
                if self._clock.monotonic() > deadline:
                    raise connection.refusal or unreachable()
                continue
            error = record.error()
            if error is None:
                yield record
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(record.partition() or 0)
            elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                raise self._failure(error)
            deadline = self._clock.monotonic() + patience_s

    def _partitions(self, consumer: Consumer) -> set[int]:
        found = consumer.list_topics(self._topic, timeout=self._settings.request_timeout_s).topics[self._topic]
        if found.error is not None:
            raise self._failure(found.error)
        return set(found.partitions)

    def _failure(self, error: KafkaError) -> EnvironmentDown:
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            text = f"topic {self._topic!r} can't be read ({error.name()}): check {SETTING}"
            return TopicRefused(text, PauseReason.BROKER)
        return unreachable(error)


def _summary(body: bytes) -> dict[str, str]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return {name: str(fields[name]) for name in _TOLD if name in fields} if isinstance(fields, dict) else {}


def _age(record: Record) -> tuple[int, int, int]:
    return (record.timestamp()[1], record.partition() or 0, record.offset() or 0)
