"""Kafka keeps the brokers' contract, as far as a log shared out by partitions can: on a real broker."""

import threading
from collections.abc import Iterator, Sequence
from typing import ClassVar
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client import CollectorRegistry

from tests.chaos.deployment import until
from tests.contract.broker_contract import BrokerContract
from tests.contract.pipeline_contract import PipelineContract
from tests.kafka_server import KafkaServer
from transcriber_worker.brokers.base import Broker
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings


class SkippingClock(SystemClock):
    """Waits like the machine's clock, since a real broker is waited for; other stretches of time are skipped."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def now(self) -> float:
        return super().now() + self.skipped_s

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped_s


class KafkaHarness:
    lease_s = 2.0
    patience_s = 3.0

    def __init__(self, kafka: KafkaServer) -> None:
        self.kafka = kafka
        self.clock = SkippingClock()
        topic = kafka.create_topic(f"jobs-{uuid4().hex[:12]}")
        kafka.create_topic(f"{topic}-results")
        kafka.create_topic(f"{topic}-dead-letters", 2)
        self.settings = KafkaBrokerSettings(
            bootstrap_servers=kafka.bootstrap,
            topic=topic,
            group=f"{topic}-workers",
            assignment="cooperative-sticky" if kafka.assignment == "cooperative-sticky" else "range",
            session_timeout_s=self.lease_s,
            max_poll_interval_s=self.lease_s,
        )
        self._workers: list[KafkaBroker] = []
        self._stuck: list[threading.Event] = []

    def connect(self) -> KafkaBroker:
        worker = KafkaBroker(self.settings, self.clock, Metrics(CollectorRegistry()))
        self._workers.append(worker)
        return worker

    def lapse(self, worker: Broker) -> None:
        stuck = self._stop_polling(worker)
        for other in self._workers:
            if other is not worker:
                other.receive(0, 0.0)  # it joins the group
        until(lambda: any(_partitions(other) for other in self._workers if other is not worker), "another has it")
        stuck.set()

    def abandon(self, worker: Broker) -> None:
        """A client can't be destroyed unclosed without taking the process along; to the group, one that stops polling
        is as dead. Processes that are killed are in tests/integration/test_kafka_broker_faults.py."""
        assert isinstance(worker, KafkaBroker)
        membership = worker._poller._membership
        self._stop_polling(worker)
        if membership is not None:  # else it has never joined
            member = membership._consumer.memberid()
            group = self.settings.group
            until(lambda: member not in self.kafka.members(group), "the group has put it out")

    def _stop_polling(self, worker: Broker) -> threading.Event:
        assert isinstance(worker, KafkaBroker)
        poller, go_on = worker._poller, threading.Event()
        self._stuck.append(go_on)
        turn = poller._turn

        def stuck() -> None:
            go_on.wait()
            poller._turn = turn  # type: ignore[method-assign]

        poller._turn = stuck  # type: ignore[method-assign]
        return go_on

    def pass_time(self, seconds: float) -> None:
        self.clock.skipped_s += seconds

    def results(self) -> Sequence[bytes]:
        topic = f"{self.settings.topic}-results"
        (end,) = self.kafka.end_offsets(topic).values()
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "nobody"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(end, timeout=10.0)
        consumer.close()
        assert len(records) == end
        found = {dict(record.headers() or ())["event-id"]: record.value() or b"" for record in records}
        return list(found.values())

    def close(self) -> None:
        for go_on in self._stuck:
            go_on.set()
        for worker in self._workers:
            worker.close()


def _partitions(worker: KafkaBroker) -> int:
    return len(worker._intake.positions())


@pytest.fixture
def harness(kafka: KafkaServer) -> Iterator[KafkaHarness]:
    harness = KafkaHarness(kafka)
    yield harness
    harness.close()


class TestKafkaBroker(BrokerContract):
    missing: ClassVar[dict[str, str]] = {
        "test_settling_out_of_order_keeps_what_is_not_settled": (
            "a partition is committed up to one offset: what is settled behind an unsettled message comes again, and"
            " its job's record says that it is done"
        ),
        "test_extending_a_lost_lease_says_so": (
            "there is no lease on a message: a job goes on when its partition moves, and its record decides"
        ),
    }


class TestKafkaPipeline(PipelineContract):
    pass
