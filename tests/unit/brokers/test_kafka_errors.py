"""The broker's client against a cluster that answers with errors: librdkafka's own mock, over real sockets."""

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from tests.chaos.deployment import until
from tests.kafka_mock import Api, KafkaMock, kafka_mock
from transcriber_worker.brokers.base import Backlog, Broker, Delivery, Letter
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.brokers.kafka_backlog import KafkaBacklog
from transcriber_worker.brokers.kafka_client import Connection
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, RejectJob
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS = 22, 25, 27
TOPIC_AUTHORIZATION_FAILED, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR = 29, 14, 16
GROUP_AUTHORIZATION_FAILED, FENCED_INSTANCE_ID, UNKNOWN_TOPIC, MSG_SIZE_TOO_LARGE = 30, 82, 3, 10
PATIENCE_S = 15.0
MISSING = {"password": "env:KAFKA_PASSWORD"}


class Cluster:
    """A mock with the topics of one worker, and workers on it."""

    def __init__(self, mock: KafkaMock) -> None:
        self.mock = mock
        self.metrics = Metrics(CollectorRegistry())
        self.settings = KafkaBrokerSettings(
            bootstrap_servers=mock.bootstrap,
            topic="jobs",
            session_timeout_s=2.0,
            request_timeout_s=2.0,
            reply_topics=("nowhere", "elsewhere"),
        )
        for topic in ("jobs", "jobs-results", "jobs-dead-letters", "elsewhere"):
            mock.create_topic(topic)
        self._open: list[Callable[[], None]] = []

    def worker(self, **changes: object) -> KafkaBroker:
        worker = KafkaBroker(self.settings.model_copy(update=changes), SystemClock(), self.metrics)
        self._open.append(worker.close)
        return worker

    def lag(self) -> int:
        reader = KafkaBacklog(self.settings, SystemClock())
        try:
            return reader.read().waiting
        finally:
            reader.close()

    @property
    def failed_commits(self) -> float:
        return self.metrics.registry.get_sample_value("transcriber_broker_commit_failures_total") or 0.0

    def close(self) -> None:
        for close in self._open:
            close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with kafka_mock() as mock:
        cluster = Cluster(mock)
        yield cluster
        cluster.close()


def take_one(worker: Broker) -> Delivery:
    (delivery,) = until(lambda: list(worker.receive(1, 0.5)), "a message", PATIENCE_S)
    return delivery


def down(act: Callable[[], object]) -> EnvironmentDown:
    """What `act` raises, once it does."""

    def raised() -> EnvironmentDown | None:
        try:
            act()
        except EnvironmentDown as error:
            return error
        return None

    error = until(raised, "it is down", PATIENCE_S)
    assert error is not None
    return error


def well(act: Callable[[], object]) -> bool:
    try:
        act()
    except EnvironmentDown:
        return False
    return True


@pytest.mark.parametrize(
    "code",
    [ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, TOPIC_AUTHORIZATION_FAILED],
)
def test_a_commit_that_fails_is_counted_and_covered_by_the_next(cluster: Cluster, code: int) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    delivery = take_one(worker)

    cluster.mock.fail_next(Api.OFFSET_COMMIT, code, code)
    delivery.settle()

    until(lambda: cluster.failed_commits >= 2, "both failures are counted", PATIENCE_S)
    until(lambda: cluster.lag() == 0, "it is committed", PATIENCE_S)
    worker.publish(b"2", {})
    assert take_one(worker).message.body == b"2"


@pytest.mark.parametrize("code", [COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR])
def test_a_coordinator_that_moves_is_followed(cluster: Cluster, code: int) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    delivery = take_one(worker)

    cluster.mock.fail_next(Api.OFFSET_COMMIT, code)
    delivery.settle()

    until(lambda: cluster.lag() == 0, "it is committed", PATIENCE_S)


def test_a_member_that_the_group_has_forgotten_joins_again(cluster: Cluster) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    running = take_one(worker)

    cluster.mock.fail_next(Api.HEARTBEAT, UNKNOWN_MEMBER_ID)
    worker.publish(b"2", {})

    assert take_one(worker).message.body == b"2"
    until(lambda: _rebalances(cluster) >= 3, "it lost its partition and got it again", PATIENCE_S)
    assert list(worker.receive(5, 1.0)) == []  # neither comes a second time while it is worked on
    running.settle()
    until(lambda: cluster.lag() == 1, "the first one's end counts", PATIENCE_S)


def test_a_fenced_member_starts_anew(cluster: Cluster) -> None:
    """A fatal error of the client: only a new one helps."""
    worker = cluster.worker(group_instance_id="pod-1")
    worker.publish(b"1", {})
    take_one(worker).settle()

    cluster.mock.fail_next(Api.HEARTBEAT, FENCED_INSTANCE_ID)
    until(lambda: worker._poller.connection.fatal, "the client is of no more use", PATIENCE_S)
    worker.publish(b"2", {})

    assert take_one(worker).message.body == b"2"


class HangsOnClose:
    """A client that never gets to take its leave, as librdkafka's after its password was refused in mid-commit."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def close(self) -> None:
        self.go_on.wait()
        self._consumer.close()


def test_a_client_that_can_t_take_its_leave_holds_nobody_up(cluster: Cluster) -> None:
    worker = cluster.worker(group_instance_id="pod-1")
    worker.publish(b"1", {})
    take_one(worker).settle()
    membership = worker._poller._membership
    assert membership is not None
    hanging = HangsOnClose(membership._consumer)
    membership._consumer = hanging  # type: ignore[assignment]

    cluster.mock.fail_next(Api.HEARTBEAT, FENCED_INSTANCE_ID)
    worker.publish(b"2", {})
    try:
        until(lambda: worker._poller._membership is not membership, "another client", PATIENCE_S)
        assert take_one(worker).message.body == b"2"
    finally:
        hanging.go_on.set()


def test_an_outage_is_told_after_the_request_timeout_and_ends_by_itself(cluster: Cluster) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    take_one(worker).settle()

    cluster.mock.down()
    error = down(lambda: worker.receive(1, 0.2))
    assert (error.part, "bootstrap_servers" in str(error)) == (PauseReason.BROKER, True)
    assert down(lambda: worker.publish(b"2", {})).part is PauseReason.BROKER

    cluster.mock.up()
    until(lambda: well(lambda: worker.receive(1, 0.0)), "it is well", PATIENCE_S)
    worker.publish(b"3", {})
    until(lambda: take_one(worker).message.body == b"3", "the new one comes", PATIENCE_S)


def test_a_short_outage_is_no_outage(cluster: Cluster) -> None:
    worker = cluster.worker(request_timeout_s=30.0)
    worker.publish(b"1", {})
    take_one(worker).settle()

    cluster.mock.down()
    until(lambda: worker._poller.connection.down_s is not None, "it is noticed", PATIENCE_S)
    assert list(worker.receive(1, 0.2)) == []
    cluster.mock.up()

    worker.publish(b"2", {})
    until(lambda: take_one(worker).message.body == b"2", "the new one comes", PATIENCE_S)


def test_a_topic_that_is_not_there_is_named_and_waited_for(cluster: Cluster) -> None:
    worker = cluster.worker(topic="jbos")

    cluster.mock.refuse_topic("jbos", UNKNOWN_TOPIC)
    error = down(lambda: worker.receive(1, 0.2))

    assert "broker.kafka.topic" in str(error)
    cluster.mock.refuse_topic("jbos", 0)
    until(lambda: well(lambda: worker.receive(1, 0.1)), "it is well", 30.0)


def test_a_group_that_may_not_be_joined_is_a_matter_of_credentials(cluster: Cluster) -> None:
    worker = cluster.worker()
    cluster.mock.fail_next(Api.JOIN_GROUP, *[GROUP_AUTHORIZATION_FAILED] * 3)

    assert down(lambda: worker.receive(1, 0.2)).part is PauseReason.CREDENTIALS


def test_a_publication_is_tried_again_by_the_client(cluster: Cluster) -> None:
    worker = cluster.worker()
    cluster.mock.fail_next(Api.PRODUCE, UNKNOWN_TOPIC)

    worker.publish(b"1", {})

    assert take_one(worker).message.body == b"1"


def test_a_publication_that_is_refused_names_the_setting(cluster: Cluster) -> None:
    worker = cluster.worker()
    cluster.mock.fail_next(Api.PRODUCE, TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(EnvironmentDown, match=r"broker\.kafka\.topic"):
        worker.publish(b"1", {})


def test_a_letter_that_can_t_be_written_is_an_error(cluster: Cluster) -> None:
    """So that its job is not settled."""
    worker = cluster.worker()
    cluster.mock.fail_next(Api.PRODUCE, TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(EnvironmentDown, match=r"broker\.kafka\.dead_letter_topic"):
        worker.dead_letters.put(Letter("a" * 32, b"{}"))


def test_a_message_that_is_too_large_is_rejected(cluster: Cluster) -> None:
    with pytest.raises(RejectJob, match="2000000 bytes"):
        cluster.worker().publish(b"x" * 2_000_000, {})


def test_a_reply_topic_that_refuses_costs_the_worker_nothing(cluster: Cluster) -> None:
    """The event goes to the results topic, and the other topic is not tried again for a while."""
    worker = cluster.worker()
    cluster.mock.fail_next(Api.PRODUCE, TOPIC_AUTHORIZATION_FAILED)

    worker.announce("job:1", b"{}", "elsewhere")
    worker.announce("job:2", b"{}", "elsewhere")

    reader = KafkaBacklog(cluster.settings.model_copy(update={"topic": "jobs-results"}), SystemClock())
    assert reader.read() == Backlog(waiting=2, in_flight=0)
    reader.close()


def test_an_event_too_large_for_a_reply_topic_goes_to_the_results(cluster: Cluster) -> None:
    """And the next one to that topic again."""
    worker = cluster.worker()
    cluster.mock.fail_next(Api.PRODUCE, MSG_SIZE_TOO_LARGE)

    worker.announce("job:1", b"{}", "elsewhere")
    worker.announce("job:2", b"{}", "elsewhere")

    for topic in ("jobs-results", "elsewhere"):
        reader = KafkaBacklog(cluster.settings.model_copy(update={"topic": topic}), SystemClock())
        assert reader.read() == Backlog(waiting=1, in_flight=0)
        reader.close()


def test_a_backlog_that_is_not_known_is_no_zero(cluster: Cluster) -> None:
    reader = KafkaBacklog(cluster.settings, SystemClock())
    assert reader.read() == Backlog(waiting=0, in_flight=0)

    cluster.mock.down()
    try:
        assert down(reader.read).part is PauseReason.BROKER
        cluster.mock.up()
        until(lambda: well(reader.read), "it is known again", PATIENCE_S)
    finally:
        reader.close()


def test_closing_during_an_outage_ends(cluster: Cluster) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    take_one(worker).settle()
    cluster.mock.down()

    worker.close()

    assert worker._poller._thread is not None
    assert not worker._poller._thread.is_alive()


def test_a_bug_in_a_turn_does_not_end_the_poll_thread(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = cluster.worker()
    worker.publish(b"1", {})
    take_one(worker).settle()
    failed = []

    def broken() -> None:
        failed.append(True)
        monkeypatch.undo()
        raise ZeroDivisionError

    membership = worker._poller._membership
    assert membership is not None
    monkeypatch.setattr(membership, "keep_up", broken)
    until(lambda: failed, "it has failed", PATIENCE_S)

    worker.publish(b"2", {})
    assert take_one(worker).message.body == b"2"


@pytest.mark.parametrize(("name", "value"), [("enable.auto.commit", "true"), ("request.required.acks", "0")])
def test_options_that_the_worker_sets_itself_are_refused(name: str, value: str) -> None:
    """Some have a second name, under which `acks` too can be given up."""
    with pytest.raises(ValidationError, match=re.escape(name)):
        KafkaBrokerSettings(options={name: value, "client.rack": "ad-1"})


def test_other_options_reach_the_client() -> None:
    settings = KafkaBrokerSettings(options={"client.rack": "ad-1", "reconnect.backoff.max.ms": "5000"})

    properties = Connection(settings, SystemClock()).properties()

    assert (properties["client.rack"], properties["reconnect.backoff.max.ms"]) == ("ad-1", "5000")


def test_an_option_that_no_client_knows_is_told(cluster: Cluster) -> None:
    worker = cluster.worker(options={"no.such.option": "1"})

    with pytest.raises(EnvironmentDown, match=r"no\.such\.option"):
        worker.receive(1, 0.0)


def test_a_missing_secret_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    worker = cluster.worker(security_protocol="sasl_plaintext", username="me", **MISSING)

    with pytest.raises(EnvironmentDown, match=r"broker\.kafka\.password: .*KAFKA_PASSWORD") as raised:
        worker.receive(1, 0.0)
    assert raised.value.part is PauseReason.CREDENTIALS


def _rebalances(cluster: Cluster) -> float:
    return cluster.metrics.registry.get_sample_value("transcriber_broker_rebalances_total") or 0.0
