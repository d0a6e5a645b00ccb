"""Publishing to Kafka, confirmed by the brokers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from transcriber_worker.brokers.kafka_client import LARGEST_MESSAGE_BYTES, Connection
from transcriber_worker.brokers.kafka_errors import publication_failed, unreachable
from transcriber_worker.brokers.kafka_messages import Headers
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.settings import KafkaBrokerSettings

_SERVE_S = 0.2
_SLACK_S = 5.0
"""The client checks its own deadline about once a second."""
_METADATA_S = 5.0
"""How long a topic that the brokers do not know is looked for; a new one may not be known to all of them at once."""
_FLUSH_S = 10.0
_NEVER_SENT = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._MSG_TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Publication:
    """One message to be published. `setting`: the one that names the topic, for the person who has to mend it."""

    topic: str
    setting: str
    body: bytes | None
    headers: Headers
    key: str | None = None


Published = Callable[[Record | None, EnvironmentDown | None], None]
"""Told once what became of a publication: where it is, or why it is nowhere."""


class KafkaPublisher:
    """A producer, started by its first use. Thread-safe."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connection = Connection(settings, clock)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None

    def publish(self, publication: Publication) -> Record:
        """Returns when the brokers have it; raises `EnvironmentDown`, of which `TopicRefused` and `MessageTooLarge`
        are kinds, when they don't within `request_timeout_s`."""
        answered = threading.Event()
        records: list[Record] = []
        failures: list[EnvironmentDown] = []

        def told(record: Record | None, failure: EnvironmentDown | None) -> None:
            records.extend([record] if record is not None else [])
            failures.extend([failure] if failure is not None else [])
            answered.set()

        self.begin(publication, told)
        if not self._clock.wait(answered, self._settings.request_timeout_s + _SLACK_S):
            raise self._connection.refusal or unreachable()
        if failures:
            raise failures[0]
        return records[0]

    def begin(self, publication: Publication, told: Published) -> None:
        """Publish without waiting; `told` is called from this thread or another one. Never blocks; raises
        `EnvironmentDown` only where there can't be a producer."""

        def delivered(error: KafkaError | None, record: Record) -> None:
            if error is None:
                self._connection.well()
                told(record, None)
            else:
                told(None, self._failure(publication, error))

        producer = self._running()
        try:
            producer.produce(
                publication.topic,
                value=publication.body,
                key=publication.key,
                headers=publication.headers,
                timestamp=int(self._clock.now() * 1000),
                on_delivery=delivered,
            )
        except KafkaException as error:
            told(None, self._failure(publication, error.args[0]))
        except BufferError:
            told(None, unreachable())

    def close(self) -> None:
        """Wait a while for what is on its way. May be called again."""
        with self._lock:
            self._closed.set()
            producer, thread = self._producer, self._thread
            self._producer = self._thread = None
        if producer is None or thread is None:
            return
        thread.join(_FLUSH_S)
        producer.flush(min(_FLUSH_S, self._settings.request_timeout_s))

    def _running(self) -> Producer:
        with self._lock:
            if self._closed.is_set():
                raise EnvironmentDown("the connection to Kafka is closed")
            if self._producer is None:
                self._producer = producer = self._made()
                self._thread = threading.Thread(
                    target=self._serve, args=(producer,), name="kafka-producer", daemon=True
                )
                self._thread.start()
            return self._producer

    def _made(self) -> Producer:
        timeout_ms = int(self._settings.request_timeout_s * 1000)
        properties = self._connection.properties(
            enable_idempotence=False,  # OCI Streaming has no producer ids
            acks="all",
            linger_ms=0,  # every publication is waited for
            message_timeout_ms=timeout_ms,
            message_max_bytes=LARGEST_MESSAGE_BYTES,
            topic_metadata_propagation_max_ms=int(min(_METADATA_S * 1000, timeout_ms // 2)),
        )
        return self._connection.made(lambda: Producer(properties))

    def _serve(self, producer: Producer) -> None:
        refusals = self._connection.refusals
        while not self._closed.is_set():
            producer.poll(_SERVE_S)
            if self._connection.stale or self._connection.refusals > refusals:
                self._retire(producer)
                return

    def _retire(self, producer: Producer) -> None:
        """The next publication makes another one, with the password as it is then; nobody need wait for this one."""
        with self._lock:
            if self._producer is producer:
                self._producer = self._thread = None
        producer.purge(blocking=False)
        producer.flush(_SERVE_S)

    def _failure(self, publication: Publication, error: KafkaError) -> EnvironmentDown:
        refusal = self._connection.refusal
        if refusal is not None and error.code() in _NEVER_SENT:
            return refusal
        return publication_failed(publication.topic, publication.setting, error, len(publication.body or b""))
