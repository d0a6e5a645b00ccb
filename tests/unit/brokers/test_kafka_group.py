"""A membership by itself, on librdkafka's mock cluster."""

from collections.abc import Iterator
from typing import Literal

import pytest
from confluent_kafka import OFFSET_BEGINNING
from prometheus_client import CollectorRegistry

from tests.chaos.deployment import until
from tests.kafka_mock import KafkaMock, kafka_mock
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.brokers.kafka_group import Membership
from transcriber_worker.brokers.kafka_intake import Intake
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

PATIENCE_S = 15.0


@pytest.fixture
def mock() -> Iterator[KafkaMock]:
    with kafka_mock() as mock:
        mock.create_topic("jobs")
        yield mock


def read(membership: Membership) -> bytes | None:
    """The next message, if there is one."""
    record = membership.poll(0.1)
    if record is None:
        return None
    if record.error() is not None:
        membership.no_place_to_begin(0, record.offset())
        return None
    return record.value()


@pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
def test_a_partition_that_was_paused_when_it_began_anew_is_read(
    mock: KafkaMock, assignment: Literal["cooperative-sticky", "range"]
) -> None:
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    settings = KafkaBrokerSettings(bootstrap_servers=mock.bootstrap, topic="jobs", assignment=assignment)
    publisher = KafkaBroker(settings, clock, metrics)
    publisher.publish(b"1", {})
    publisher.close()
    intake = Intake(settings, clock)
    membership = Membership(settings, Connection(settings, clock), intake, metrics, clock)
    try:
        until(lambda: read(membership), "it is read", PATIENCE_S)
        intake.room.clear()
        intake.shut()
        membership.pause_and_resume()

        membership._start_at(0, OFFSET_BEGINNING)
        intake.room.set()
        intake.shut()
        membership.pause_and_resume()

        until(lambda: read(membership), "it is read again", PATIENCE_S)
    finally:
        membership.leave()
