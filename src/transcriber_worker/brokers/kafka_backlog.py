"""How far a consumer group is behind its topic, asked from outside."""

from confluent_kafka import Consumer, KafkaException, TopicPartition

from transcriber_worker.brokers.base import Backlog
from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.brokers.kafka_errors import unreachable
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.settings import KafkaBrokerSettings

_READ_S = 10.0
"""For all questions of one reading together."""


class KafkaBacklog:
    """`BacklogReader`: what the group has not committed, waiting or with a worker. A partition without a commit counts
    as a whole. Never joins the group."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connection = Connection(settings, clock)
        self._consumer: Consumer | None = None

    def read(self) -> Backlog:
        deadline = self._clock.monotonic() + min(_READ_S, self._settings.request_timeout_s)
        consumer = self._asked()
        try:
            waiting = sum(self._lag(consumer, place, deadline) for place in self._committed(consumer, deadline))
        except KafkaException as error:
            raise self._connection.refusal or unreachable(error.args[0]) from None
        self._connection.well()
        return Backlog(waiting=waiting, in_flight=0, dead_letters=None)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _asked(self) -> Consumer:
        if self._consumer is None:
            properties = self._connection.properties(
                group_id=self._settings.group,
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                allow_auto_create_topics=False,
            )
            self._consumer = self._connection.made(lambda: Consumer(properties))
        self._consumer.poll(0)  # what the client has to say of its connection comes through here
        return self._consumer

    def _committed(self, consumer: Consumer, deadline: float) -> list[TopicPartition]:
        topic = self._settings.topic
        found = consumer.list_topics(topic, timeout=self._left_s(deadline)).topics[topic]
        if found.error is not None:
            text = f"topic {topic!r} can't be read ({found.error.name()}): check broker.kafka.topic"
            raise EnvironmentDown(text, PauseReason.BROKER)
        places = [TopicPartition(topic, number) for number in found.partitions]
        answers = consumer.committed(places, timeout=self._left_s(deadline))
        for place in answers:
            if place.error is not None:
                raise KafkaException(place.error)
        return answers

    def _lag(self, consumer: Consumer, committed: TopicPartition, deadline: float) -> int:
        first, end = consumer.get_watermark_offsets(committed, timeout=self._left_s(deadline))
        # What retention has taken meanwhile is no work any more.
        return max(0, end - max(first, committed.offset))

    def _left_s(self, deadline: float) -> float:
        return max(0.1, deadline - self._clock.monotonic())
