"""The broker that Kafka's tests rely on does what they rely on it for."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.kafka_server import KafkaServer, Secured

PROJECT = Path(__file__).parents[2]
CONNECT_S = 60.0


def send(kafka: KafkaServer, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=0)
    assert producer.flush(90.0) == 0


def first_message(kafka: KafkaServer, topic: str, group: str) -> tuple[int, bytes]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        message = consumer.poll(90.0)
        assert message is not None
        assert message.error() is None
        consumer.commit(message=message, asynchronous=False)
        return message.offset() or 0, message.value() or b""
    finally:
        consumer.close()


def connect(settings: Mapping[str, str]) -> KafkaError | None:
    """The first error of a client with these settings; None when it was let in."""
    errors: list[KafkaError] = []
    client = AdminClient({**settings, "error_cb": errors.append, "log_level": 0})  # type: ignore[dict-item]
    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            client.poll(0)
        else:
            return None
        for error in errors:
            if error.code() != KafkaError._ALL_BROKERS_DOWN:
                return error
    raise AssertionError(f"neither let in nor refused: {errors}")


def test_messages_and_commits_survive_a_killed_broker(killable_kafka: KafkaServer, topic_name: str) -> None:
    kafka = killable_kafka
    kafka.create_topic(topic_name, 2)
    send(kafka, topic_name, 3)
    assert first_message(kafka, topic_name, "readers") == (0, b"0")
    kafka.kill()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0}).list_topics(timeout=0.5)
    kafka.restart()
    assert kafka.end_offsets(topic_name) == {0: 3, 1: 0}
    assert kafka.committed("readers", topic_name) == {0: 1}
    assert first_message(kafka, topic_name, "readers") == (1, b"1")


@pytest.mark.parametrize("code", ["COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"])
def test_commits_are_told_however_a_broker_that_comes_back_answers_at_first(code: str) -> None:
    """In a process of its own, since a client that can't take such an answer ends its process."""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, code], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (asked.returncode, asked.stdout) == (0, "{}\n"), asked.stderr


_ASK = """
import sys
from confluent_kafka import KafkaError
from tests.kafka_mock import Api, kafka_mock
from tests.kafka_server import KafkaServer
with kafka_mock() as mock:
    mock.create_topic("jobs", 2)
    kafka = KafkaServer("a mock", mock.bootstrap, None, None, "range")
    mock.fail_next(Api.OFFSET_FETCH, *[getattr(KafkaError, sys.argv[1])] * 3)
    print(kafka.committed("workers", "jobs"))
"""


def test_deleted_records_are_gone(whole_kafka: KafkaServer, topic_name: str) -> None:
    kafka = whole_kafka
    kafka.create_topic(topic_name)
    send(kafka, topic_name, 5)
    kafka.delete_records(topic_name, 0, before=3)
    assert first_message(kafka, topic_name, f"readers-of-{topic_name}") == (3, b"3")


def test_a_topic_takes_its_settings(whole_kafka: KafkaServer, topic_name: str) -> None:
    kafka = whole_kafka
    kafka.create_topic(topic_name, max_message_bytes=200)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    codes = []
    producer.produce(topic_name, b"x" * 1000, on_delivery=lambda error, _: codes.append(error and error.code()))
    producer.flush(90.0)
    assert codes == [KafkaError.MSG_SIZE_TOO_LARGE]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_password_opens_its_listeners_and_a_wrong_one_does_not(
    secured: Secured, mechanism: str, protocol: str
) -> None:
    settings = {
        "bootstrap.servers": secured.sasl_plaintext if protocol == "SASL_PLAINTEXT" else secured.sasl_ssl,
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.username": secured.credentials.username,
        "sasl.password": secured.credentials.password,
        "ssl.ca.location": str(secured.certificates.ca),
    }
    assert connect(settings) is None
    refused = connect({**settings, "sasl.password": "wrong"})
    assert refused is not None
    assert refused.code() == KafkaError._AUTHENTICATION


def test_only_a_certificate_of_ours_opens_the_tls_listener(secured: Secured) -> None:
    made = secured.certificates
    bare = {"bootstrap.servers": secured.ssl, "security.protocol": "SSL", "ssl.ca.location": str(made.ca)}
    ours = {"ssl.certificate.location": str(made.client), "ssl.key.location": str(made.client_key)}
    strange = {"ssl.certificate.location": str(made.stranger), "ssl.key.location": str(made.stranger_key)}
    assert connect({**bare, **ours}) is None
    assert connect(bare) is not None
    assert connect({**bare, **strange}) is not None
