"""What the Kafka adapter does on a real broker when workers die, come and go, and the broker does."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as Record
from prometheus_client import CollectorRegistry

from tests.chaos.deployment import until
from tests.contract.test_kafka_broker import SkippingClock
from tests.kafka_server import KafkaServer
from transcriber_worker.brokers import kafka_group
from transcriber_worker.brokers.base import Backlog, Delivery, Letter
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.brokers.kafka_backlog import KafkaBacklog
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 120.0


class Group:
    """Workers on one topic, with a clock that can be put forward."""

    def __init__(self, kafka: KafkaServer, topic: str) -> None:
        self.kafka = kafka
        self.clock = SkippingClock()
        self.settings = KafkaBrokerSettings(
            bootstrap_servers=kafka.bootstrap,
            topic=topic,
            group=f"{topic}-workers",
            # Longer than a loaded machine keeps a thread from running.
            session_timeout_s=6.0,
            max_poll_interval_s=6.0,
            request_timeout_s=10.0,
        )
        self.workers: list[KafkaBroker] = []
        self._metrics: dict[KafkaBroker, Metrics] = {}

    def create_topics(self, partitions: int = 1) -> None:
        self.kafka.create_topic(self.settings.topic, partitions)
        for name in ("results", "dead-letters"):
            self.kafka.create_topic(f"{self.settings.topic}-{name}")

    def worker(self, **changes: object) -> KafkaBroker:
        metrics = Metrics(CollectorRegistry())
        worker = KafkaBroker(self.settings.model_copy(update=changes), self.clock, metrics)
        self.workers.append(worker)
        self._metrics[worker] = metrics
        return worker

    def count(self, worker: KafkaBroker, name: str) -> float:
        return self._metrics[worker].registry.get_sample_value(f"transcriber_broker_{name}") or 0.0

    def lag(self) -> int:
        reader = KafkaBacklog(self.settings, self.clock)
        try:
            return reader.read().waiting
        finally:
            reader.close()

    def records(self, topic: str) -> list[Record]:
        """Everything in a topic of one partition."""
        (end,) = self.kafka.end_offsets(topic).values()
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "nobody"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(end, timeout=PATIENCE_S) if end else []
        consumer.close()
        return records

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@pytest.fixture
def group(kafka: KafkaServer, topic_name: str) -> Iterator[Group]:
    group = Group(kafka, topic_name)
    yield group
    group.close()


def take(worker: KafkaBroker, count: int) -> list[Delivery]:
    taken: list[Delivery] = []

    def more() -> bool:
        taken.extend(worker.receive(count - len(taken), 0.5))
        return len(taken) == count

    until(more, f"{count} messages", PATIENCE_S)
    return taken


def publish(worker: KafkaBroker, count: int) -> list[bytes]:
    bodies = [b"%d" % n for n in range(count)]
    for body in bodies:
        worker.publish(body, {})
    return bodies


class TestLostMessages:
    @pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
    def test_what_retention_took_is_counted_and_the_rest_is_read(self, group: Group, assignment: str) -> None:
        group.create_topics(2)
        first = group.worker(assignment=assignment)
        publish(first, 40)
        for delivery in take(first, 40):
            delivery.settle()
        first.close()
        begin = group.kafka.committed(group.settings.group, group.settings.topic)
        publish(group.worker(), 40)
        ends = group.kafka.end_offsets(group.settings.topic)
        # Half of what waits in partition 0, all of what waits in partition 1.
        half = (begin[0] + ends[0]) // 2
        group.kafka.delete_records(group.settings.topic, 0, half)
        group.kafka.delete_records(group.settings.topic, 1, ends[1])

        second = group.worker(assignment=assignment)
        take(second, ends[0] - half)

        lost = (half - begin[0]) + (ends[1] - begin[1])
        until(lambda: group.count(second, "lost_messages_total") == lost, f"{lost} are counted", PATIENCE_S)
        second.publish(b"new", {})
        assert take(second, 1)[0].message.body == b"new"

    @pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
    def test_a_new_group_begins_at_the_first_message_and_counts_none(
        self, group: Group, assignment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        placed = list[int]()
        begin = kafka_group.Membership.no_place_to_begin

        def counted(membership: kafka_group.Membership, partition: int, offset: int | None) -> None:
            placed.append(partition)
            begin(membership, partition, offset)

        monkeypatch.setattr(kafka_group.Membership, "no_place_to_begin", counted)
        group.create_topics(3)
        worker = group.worker(assignment=assignment)
        publish(worker, 30)
        ends = group.kafka.end_offsets(group.settings.topic)
        group.kafka.delete_records(group.settings.topic, 0, ends[0] // 2)

        take(worker, 30 - ends[0] // 2)
        worker.publish(b"new", {})
        take(worker, 1)

        assert group.count(worker, "lost_messages_total") == 0
        assert len(placed) <= 6, "partitions that had found their place lost it again"


class TestMembers:
    def test_a_killed_process_s_messages_come_back(self, group: Group) -> None:
        group.create_topics()
        other = group.worker()
        publish(other, 3)
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, group.settings.model_dump_json()],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"holding 3\n"
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()

        assert [delivery.message.body for delivery in take(other, 3)] == [b"0", b"1", b"2"]

    def test_a_worker_that_closes_while_busy_leaves_at_once(self, group: Group) -> None:
        group.create_topics()
        worker, other = group.worker(session_timeout_s=60.0), group.worker(session_timeout_s=60.0)
        publish(worker, 3)
        done, *_running = take(worker, 3)
        done.settle()

        worker.close()

        assert {delivery.message.body for delivery in take(other, 2)} == {b"1", b"2"}

    def test_what_is_done_is_committed_before_a_partition_moves(
        self, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kafka_group, "COMMIT_EVERY_S", 3600.0)
        group.create_topics(2)
        worker = group.worker()
        publish(worker, 20)
        for delivery in take(worker, 20):
            delivery.settle()

        other, again = group.worker(), list[Delivery]()

        def has_moved() -> bool:
            again.extend(other.receive(20, 0.1))
            return len(other._intake.positions()) == 1

        until(has_moved, "it has one", PATIENCE_S)
        again.extend(other.receive(20, 1.0))

        assert again == []

    @pytest.mark.parametrize("assignment", ["cooperative-sticky", "range"])
    def test_a_storm_of_rebalances_loses_nothing(self, group: Group, assignment: str) -> None:
        """Workers come and go while jobs run and end out of order; in no worker does a message run twice at once."""
        group.create_topics(4)
        storm = Storm(group, assignment)
        publish(storm.steady, 200)

        storm.rage(rounds=6)

        assert storm.doubled == []
        assert storm.finished >= {b"%d" % n for n in range(200)}
        until(lambda: group.lag() == 0, "all is committed", PATIENCE_S)

    def test_a_job_that_outlasts_max_poll_interval_keeps_its_partition(self, group: Group) -> None:
        """Later messages of its partition flow up to the bound, nobody is evicted, and it is done once."""
        group.create_topics()
        worker = group.worker(max_uncommitted_span=20)
        publish(worker, 60)
        (long_job,) = take(worker, 1)
        others: list[Delivery] = []
        begun = time.monotonic()

        def outlasted() -> bool:
            for delivery in worker.receive(8, 0.2):
                others.append(delivery)
                delivery.settle()
            long_job.extend()
            return time.monotonic() - begun > 3 * group.settings.max_poll_interval_s

        until(outlasted, "the job has lasted", PATIENCE_S)
        assert len(others) == 19
        assert group.kafka.committed(group.settings.group, group.settings.topic) == {}
        assert group.count(worker, "rebalances_total") == 1
        assert group.lag() == 60

        long_job.settle()
        for _ in range(40):
            take(worker, 1)[0].settle()
        until(lambda: group.lag() == 0, "all is committed", PATIENCE_S)

    def test_lag_and_partitions_are_told(self, group: Group) -> None:
        group.create_topics(2)
        worker = group.worker()
        publish(worker, 10)
        deliveries = take(worker, 10)
        until(lambda: group.count(worker, "lag_messages") == 10, "all of it lags", PATIENCE_S)
        assert group.count(worker, "partitions") == 2

        for delivery in deliveries:
            delivery.settle()

        until(lambda: group.count(worker, "lag_messages") == 0, "nothing lags", PATIENCE_S)


class TestDelays:
    def test_a_long_delay_is_spent_in_the_topic(self, group: Group) -> None:
        group.create_topics()
        worker = group.worker()
        worker.publish(b"later", {"traceparent": "00-1-2-01"})
        (first,) = take(worker, 1)

        first.give_back(150.0)
        until(lambda: group.lag() == 1, "the first copy is settled", PATIENCE_S)
        again: list[Delivery] = []
        for _ in range(3):  # held for a minute, published anew, and so on
            assert again == []
            again += worker.receive(1, 2.0)
            group.clock.skipped_s += 60.0
        again = again or take(worker, 1)

        assert again[0].message.id == first.message.id
        assert again[0].message.published_at == first.message.published_at
        assert again[0].message.headers == first.message.headers
        assert again[0].message.origin != first.message.origin
        assert group.count(worker, "republished_total") >= 2
        again[0].settle()
        until(lambda: group.lag() == 0, "all is committed", PATIENCE_S)

    def test_it_outlives_the_worker(self, group: Group) -> None:
        group.create_topics()
        worker = group.worker()
        worker.publish(b"later", {})
        (first,) = take(worker, 1)
        first.give_back(90.0)
        worker.close()
        other = group.worker()
        assert list(other.receive(1, 2.0)) == []

        group.clock.skipped_s += 60.0
        assert list(other.receive(1, 2.0)) == []
        group.clock.skipped_s += 31.0

        assert take(other, 1)[0].message.id == first.message.id


class TestPublishing:
    def test_an_event_says_what_it_is_in_its_headers(self, group: Group) -> None:
        group.create_topics()
        group.worker().announce("3f2a:7", b'{"id": "3f2a:7"}', None)

        (record,) = group.records(f"{group.settings.topic}-results")

        assert record.key() == b"3f2a"
        assert dict(record.headers() or ()) == {
            "content-type": b"application/cloudevents+json",
            "event-id": b"3f2a:7",
            "ce_id": b"3f2a:7",
        }

    def test_only_topics_of_the_settings_can_be_replied_to(self, group: Group) -> None:
        group.create_topics()
        allowed = group.kafka.create_topic(f"{group.settings.topic}-replies")
        worker = group.worker(reply_topics=(allowed, "not-there"))

        worker.announce("a:1", b"1", allowed)
        worker.announce("a:2", b"2", group.settings.topic)
        worker.announce("a:3", b"3", "not-there")
        worker.announce("a:4", b"4", "not-there")

        assert [record.value() for record in group.records(allowed)] == [b"1"]
        found = [record.value() for record in group.records(f"{group.settings.topic}-results")]
        assert found == [b"2", b"3", b"4"]
        assert group.records(group.settings.topic) == []

    def test_a_letter_says_why_in_its_headers(self, group: Group) -> None:
        group.create_topics()
        body = b'{"reason": "media_no_audio", "stage": "open", "attempts": 2, "origin": "kafka:jobs/0@1", "body": "x"}'
        worker = group.worker()
        worker.dead_letters.put(Letter("a" * 32, body))
        worker.dead_letters.resolve("a" * 32)

        letter, tombstone = group.records(f"{group.settings.topic}-dead-letters")

        assert dict(letter.headers() or ()) == {
            "content-type": b"application/json",
            "reason": b"media_no_audio",
            "stage": b"open",
            "attempts": b"2",
            "origin": b"kafka:jobs/0@1",
        }
        assert (tombstone.key(), tombstone.value()) == (b"a" * 32, None)
        assert list(worker.dead_letters.list()) == []

    def test_publishing_and_letters_do_not_join_the_group(self, group: Group) -> None:
        group.create_topics()
        submitter = group.worker()
        submitter.publish(b"1", {})
        list(submitter.dead_letters.list())

        assert group.kafka.members(group.settings.group) == {}

    def test_a_missing_topic_is_named(self, group: Group) -> None:
        group.kafka.create_topic(group.settings.topic)
        worker = group.worker()

        with pytest.raises(EnvironmentDown, match=r"broker\.kafka\.results_topic"):
            worker.announce("a:1", b"1", None)
        with pytest.raises(EnvironmentDown, match=r"broker\.kafka\.dead_letter_topic"):
            worker.dead_letters.get("a" * 32)


class TestOutage:
    def test_a_broker_that_is_killed_and_returns_finds_everything_in_order(
        self, killable_kafka: KafkaServer, group: Group
    ) -> None:
        group.create_topics()
        worker = group.worker()
        publish(worker, 4)
        before, after = take(worker, 2)
        before.settle()
        until(lambda: group.lag() == 3, "the first is committed", PATIENCE_S)

        killable_kafka.kill()
        after.settle()
        bodies = list[bytes]()

        def told() -> bool:
            try:
                for delivery in worker.receive(9, 0.2):
                    bodies.append(delivery.message.body)
                    delivery.settle()
            except EnvironmentDown:
                return True
            return False

        until(told, "the outage is told", PATIENCE_S)
        killable_kafka.restart()
        until(lambda: not told(), "it is over", PATIENCE_S)
        until(lambda: not told() and len(bodies) == 2, "the others come", PATIENCE_S)
        worker.publish(b"new", {})
        until(lambda: not told() and b"new" in bodies, "new ones come", PATIENCE_S)
        assert bodies == [b"2", b"3", b"new"]
        until(lambda: group.lag() == 0, "all is committed", PATIENCE_S)


class TestBacklog:
    def test_it_is_what_the_group_has_not_committed(self, group: Group) -> None:
        group.create_topics(3)
        worker = group.worker()
        publish(worker, 12)
        reader = KafkaBacklog(group.settings, group.clock)
        try:
            assert reader.read() == Backlog(waiting=12, in_flight=0, dead_letters=None)
            deliveries = take(worker, 12)
            assert reader.read().waiting == 12
            for delivery in deliveries:
                delivery.settle()
            until(lambda: reader.read().waiting == 0, "none is left", PATIENCE_S)
        finally:
            reader.close()

    def test_what_retention_took_is_no_work(self, group: Group) -> None:
        group.create_topics()
        publish(group.worker(), 10)
        group.kafka.delete_records(group.settings.topic, 0, 6)

        assert group.lag() == 4


class Storm:
    """Workers that join and leave, each settling what it gets, late and out of order."""

    def __init__(self, group: Group, assignment: str) -> None:
        self._group = group
        self._assignment = assignment
        self._lock = threading.Lock()
        self.finished: set[bytes] = set()
        self.doubled: list[bytes] = []
        self.steady = self._joined()

    def rage(self, rounds: int) -> None:
        """Let it go until every message was finished and the last guest has gone."""
        stop = threading.Event()
        threads = [self._working(self.steady, stop)]
        for _ in range(rounds):
            guest, gone = self._joined(), threading.Event()
            thread = self._working(guest, gone)
            seen = len(self.finished)
            until(lambda guest=guest: guest._intake.positions(), "it has partitions", PATIENCE_S)  # type: ignore[misc]
            until(lambda seen=seen: len(self.finished) > seen or len(self.finished) == 200, "work goes on", PATIENCE_S)  # type: ignore[misc]
            guest.close()
            gone.set()
            thread.join(PATIENCE_S)
        until(lambda: len(self.finished) == 200, "all are finished", PATIENCE_S)
        stop.set()
        threads[0].join(PATIENCE_S)

    def _joined(self) -> KafkaBroker:
        return self._group.worker(assignment=self._assignment, max_buffered=8)

    def _working(self, worker: KafkaBroker, stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(worker, stop), daemon=True)
        thread.start()
        return thread

    def _work(self, worker: KafkaBroker, stop: threading.Event) -> None:
        running: list[Delivery] = []
        while not stop.is_set():
            for delivery in worker.receive(3, 0.05):
                if any(delivery.message.id == other.message.id for other in running):
                    self.doubled.append(delivery.message.body)
                running.append(delivery)
            if len(running) > 6 or stop.is_set():
                self._finish(running, range(len(running) - 1, -1, -2))
            elif running:
                self._finish(running, [len(running) - 1])
        self._finish(running, range(len(running) - 1, -1, -1))

    def _finish(self, running: list[Delivery], which: Sequence[int]) -> None:
        for index in which:
            delivery = running.pop(index)
            delivery.extend()
            delivery.settle()
            with self._lock:
                self.finished.add(delivery.message.body)


_HOLDER = """
import sys, threading
from prometheus_client import CollectorRegistry
from transcriber_worker.brokers.kafka import KafkaBroker
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import KafkaBrokerSettings
settings = KafkaBrokerSettings.model_validate_json(sys.argv[1])
worker = KafkaBroker(settings, SystemClock(), Metrics(CollectorRegistry()))
held = []
while len(held) < 3:
    held += worker.receive(3, 1.0)
print("holding", len(held), flush=True)
threading.Event().wait()
"""
