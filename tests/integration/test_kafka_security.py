"""Kafka brokers that ask who we are: let in with what is right, told what to check with what is wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.chaos.deployment import until
from tests.kafka_server import KafkaServer, Secured
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

Opener = Callable[..., KafkaBroker]


@contextmanager
def opened(**fields: Any) -> Iterator[KafkaBroker]:
    settings = KafkaBrokerSettings(
        group=f"group-of-{fields['topic']}", session_timeout_s=6.0, request_timeout_s=20.0, **fields
    )
    broker = KafkaBroker(settings, SystemClock(), Metrics(CollectorRegistry()))
    try:
        yield broker
    finally:
        broker.close()


def received(broker: KafkaBroker) -> Delivery:
    """The next message, however often the broker is down before."""

    def look() -> list[Delivery]:
        try:
            return list(broker.receive(1, 0.2))
        except EnvironmentDown:
            return []

    return until(look, "a message")[0]


def refusal(call: Callable[[], object]) -> EnvironmentDown:
    """What a call raises, sooner or later."""

    def look() -> EnvironmentDown | None:
        try:
            call()
        except EnvironmentDown as down:
            return down
        return None

    found = until(look, "a refusal")
    assert found is not None
    return found


@pytest.fixture
def password(tmp_path: Path, secured: Secured) -> Path:
    """A file with the right password."""
    file = tmp_path / "password"
    file.write_text(secured.credentials.password + "\n")
    return file


@pytest.fixture
def topic(kafka: KafkaServer, topic_name: str) -> str:
    for name in (topic_name, f"{topic_name}-results", f"{topic_name}-dead-letters"):
        kafka.create_topic(name)
    return topic_name


def sasl(secured: Secured, password: Path, topic: str, protocol: str, mechanism: str) -> dict[str, Any]:
    return {
        "topic": topic,
        "bootstrap_servers": secured.sasl_ssl if protocol == "sasl_ssl" else secured.sasl_plaintext,
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "username": secured.credentials.username,
        "password": f"file:{password}",
        "ca_file": secured.certificates.ca if protocol == "sasl_ssl" else None,
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
def test_messages_pass_with_the_right_password(
    secured: Secured, kafka: KafkaServer, password: Path, topic: str, protocol: str, mechanism: str
) -> None:
    with opened(**sasl(secured, password, topic, protocol, mechanism)) as broker:
        broker.publish(b"a request", {})
        delivery = received(broker)
        assert delivery.message.body == b"a request"
        delivery.settle()
        until(lambda: kafka.committed(f"group-of-{topic}", topic) == {0: 1}, "the message committed")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_a_matter_of_credentials(
    secured: Secured, password: Path, topic: str, mechanism: str
) -> None:
    password.write_text("wrong-horse")
    with opened(**sasl(secured, password, topic, "sasl_plaintext", mechanism)) as broker:
        for down in (refusal(lambda: broker.receive(1, 0.2)), refusal(lambda: broker.publish(b"a request", {}))):
            assert down.part is PauseReason.CREDENTIALS
            assert "broker.kafka.password" in str(down) or "broker.kafka.username and password" in str(down)
            assert "wrong-horse" not in str(down)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_the_right_password_put_where_the_wrong_one_lay_is_taken_without_a_restart(
    secured: Secured, password: Path, topic: str, mechanism: str
) -> None:
    password.write_text("wrong")
    with opened(**sasl(secured, password, topic, "sasl_plaintext", mechanism)) as broker:
        assert refusal(lambda: broker.receive(1, 0.2)).part is PauseReason.CREDENTIALS
        assert refusal(lambda: broker.publish(b"a request", {})).part is PauseReason.CREDENTIALS
        password.write_text(secured.credentials.password)
        until(lambda: published(broker), "a publication let through")
        assert received(broker).message.body == b"a request"


def test_a_password_that_changes_while_we_work_is_read_again(
    secured: Secured, killable_kafka: KafkaServer, password: Path, topic: str
) -> None:
    """As when a token is rotated in its Secret: the old one is refused once the connections are cut."""
    name = f"user-of-{topic}"
    killable_kafka.set_scram_password(name, "first")
    password.write_text("first")
    fields = {**sasl(secured, password, topic, "sasl_plaintext", "SCRAM-SHA-512"), "username": name}
    with opened(**fields) as broker:
        broker.publish(b"before", {})
        received(broker).settle()
        killable_kafka.set_scram_password(name, "second")
        password.write_text("second")
        killable_kafka.kill()
        killable_kafka.restart()
        until(lambda: published(broker, b"after"), "a publication let through")
        until(lambda: received(broker).message.body == b"after", "the message sent after the change")


def published(broker: KafkaBroker, body: bytes = b"a request") -> bool:
    try:
        broker.publish(body, {})
    except EnvironmentDown:
        return False
    return True


def test_a_missing_password_is_a_matter_of_credentials(secured: Secured, password: Path, topic: str) -> None:
    password.unlink()
    with opened(**sasl(secured, password, topic, "sasl_plaintext", "PLAIN")) as broker:
        down = refusal(lambda: broker.receive(1, 0.2))
        assert down.part is PauseReason.CREDENTIALS
        assert "broker.kafka.password" in str(down)


def tls(secured: Secured, topic: str, **fields: Any) -> dict[str, Any]:
    return {
        "topic": topic,
        "bootstrap_servers": secured.ssl,
        "security_protocol": "ssl",
        "ca_file": secured.certificates.ca,
        **fields,
    }


def test_messages_pass_with_a_certificate_that_the_brokers_trust(secured: Secured, topic: str) -> None:
    made = secured.certificates
    with opened(**tls(secured, topic, certificate_file=made.client, key_file=made.client_key)) as broker:
        broker.publish(b"a request", {})
        assert received(broker).message.body == b"a request"


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's"])
def test_without_a_certificate_that_the_brokers_trust_it_is_a_matter_of_credentials(
    secured: Secured, topic: str, whose: str
) -> None:
    made = secured.certificates
    theirs = {"certificate_file": made.stranger, "key_file": made.stranger_key} if whose == "a stranger's" else {}
    with opened(**tls(secured, topic, **theirs)) as broker:
        down = refusal(lambda: broker.receive(1, 0.2))
        assert down.part is PauseReason.CREDENTIALS
        assert "certificate_file" in str(down)


def test_brokers_that_we_do_not_trust_get_no_password(secured: Secured, password: Path, topic: str) -> None:
    """Their certificate is not signed by the authority of ca_file (default: the public ones)."""
    fields = {**sasl(secured, password, topic, "sasl_ssl", "PLAIN"), "ca_file": None}
    with opened(**fields) as broker:
        down = refusal(lambda: broker.receive(1, 0.2))
        assert down.part is PauseReason.CREDENTIALS
        assert "ca_file" in str(down)
