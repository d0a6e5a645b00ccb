"""Whether a Kafka broker answers."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.settings import KafkaBrokerSettings


class Probe:
    """Asks by a client of its own, since a consumer takes one call at a time and the poll thread is always in one. Used
    by one thread, and only while there is doubt."""

    def __init__(self, settings: KafkaBrokerSettings, clock: Clock) -> None:
        self._settings = settings
        self._connection = Connection(settings, clock)
        self._client: AdminClient | None = None

    def reach(self, timeout_s: float) -> bool:
        """Whether a broker takes us, as far as can be told within `timeout_s`."""
        try:
            if self._client is None:
                properties = self._connection.properties()
                self._client = self._connection.made(lambda: AdminClient(properties))
            self._client.poll(0)
            self._client.list_topics(self._settings.topic, timeout=timeout_s)
        except (KafkaException, EnvironmentDown):
            return False
        self._client = None
        return True
