"""One Kafka for a whole test run."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.kafka_server import KafkaServer, NotToBeHad, Secured, kafka_server


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[KafkaServer]:
    """A broker that answers; skips, with the reason, where none can be had."""
    try:
        running = kafka_server()
        server = running.__enter__()
    except NotToBeHad as reason:
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def whole_kafka(kafka: KafkaServer) -> KafkaServer:
    """The same broker, where it is no look-alike that lacks topic settings, lost offsets and the like."""
    if not kafka.complete:
        pytest.skip(f"{kafka.kind} does not do all that Kafka does")
    return kafka


@pytest.fixture
def killable_kafka(kafka: KafkaServer) -> Iterator[KafkaServer]:
    """The same broker, to be killed; it answers again after the test."""
    if not kafka.can_be_killed:
        pytest.skip(f"{kafka.kind} is not ours to kill")
    yield kafka
    kafka.ensure_up()


@pytest.fixture
def secured(kafka: KafkaServer) -> Secured:
    """The broker's listeners that ask who you are."""
    if kafka.secured is None:
        pytest.skip(f"{kafka.kind} has no listeners with authentication known to the tests")
    return kafka.secured


@pytest.fixture
def topic_name() -> str:
    """A topic name of this test's own."""
    return f"jobs-{uuid4().hex[:12]}"
