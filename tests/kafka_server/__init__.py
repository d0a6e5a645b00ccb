"""A real Kafka broker for tests."""

from tests.kafka_server.choosing import CREDENTIALS, GIVEN, kafka_server
from tests.kafka_server.machine import NotToBeHad
from tests.kafka_server.server import KafkaServer, Secured

__all__ = ["CREDENTIALS", "GIVEN", "KafkaServer", "NotToBeHad", "Secured", "kafka_server"]
