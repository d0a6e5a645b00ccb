"""A Kafka for tests: what they may ask of it, whatever it runs on."""

import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
    OffsetSpec,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.kafka_server.certificates import Certificates
from tests.kafka_server.machine import Machine, NotToBeHad, Ports
from tests.kafka_server.properties import Credentials

_ANSWERS_S = 120.0
_REQUEST_S = 60.0
# Below the ports that a system gives to clients: while the broker is down, one of them could take its port.
_PORTS = range(21_000, 32_000)
_COMING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
T = TypeVar("T")
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Secured:
    """The listeners that ask who you are, each host:port."""

    sasl_plaintext: str
    sasl_ssl: str
    ssl: str
    credentials: Credentials
    certificates: Certificates


class KafkaServer:
    """A broker. `machine` and `secured` are None where somebody else runs it."""

    def __init__(
        self, kind: str, bootstrap: str, machine: Machine | None, secured: Secured | None, assignment: str
    ) -> None:
        self.kind = kind
        """What it is, for people."""
        self.bootstrap = bootstrap
        """host:port, plain text."""
        self.secured = secured
        self.assignment = assignment
        """A partition assignment that it can do."""
        self._machine = machine
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})

    @property
    def complete(self) -> bool:
        """Whether it does all that Kafka does, as far as is known."""
        return "can't be had" not in self.kind

    @property
    def can_be_killed(self) -> bool:
        return self._machine is not None

    def kill(self) -> None:
        """SIGKILL; the broker is gone when this returns."""
        assert self._machine is not None, "this broker is not ours to kill"
        self._machine.kill()

    def restart(self) -> None:
        """Start it again, with the data and the ports that it had; it answers when this returns."""
        assert self._machine is not None, "this broker is not ours to start"
        self._machine.start()
        self.wait_until_it_answers()

    def ensure_up(self) -> None:
        """Start it again if a test has left it dead."""
        if not self._answers():
            self.kill()
            self.restart()

    def create_topic(self, name: str, partitions: int = 1, **config: object) -> str:
        """A topic that may be used when this returns. `config` as Kafka's, with underscores: `retention_ms=1000`."""
        named = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=named)
        self._admin.create_topics([topic], request_timeout=_REQUEST_S)[name].result()

        def led() -> bool:
            found = self._admin.list_topics(name, timeout=_REQUEST_S).topics[name].partitions.values()
            return len(found) == partitions and all(one.leader >= 0 for one in found)

        self._until(led, f"topic {name} has its leaders")
        return name

    def set_scram_password(self, username: str, password: str) -> None:
        """Let somebody in by SCRAM-SHA-512 with this password, and no longer with the one before."""
        wanted = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations=4096)
        change = UserScramCredentialUpsertion(username, wanted, password.encode())
        self._admin.alter_user_scram_credentials([change], request_timeout=_REQUEST_S)[username].result()

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Lose the messages before an offset, as retention does."""
        asked = TopicPartition(topic, partition, before)
        for answer in self._admin.delete_records([asked], request_timeout=_REQUEST_S).values():
            answer.result()

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""
        partitions = self._admin.list_topics(topic, timeout=_REQUEST_S).topics[topic].partitions
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, number): latest for number in partitions}
        found = self._patiently(lambda: self._admin.list_offsets(asked, request_timeout=_REQUEST_S))
        return {one.partition: answer.offset for one, answer in found.items()}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed, by partition; those without a commit left out."""
        partitions = self._admin.list_topics(topic, timeout=_REQUEST_S).topics[topic].partitions
        asked = [TopicPartition(topic, number) for number in partitions]
        return {one.partition: one.offset for one in self._commits(group, asked) if one.offset >= 0}

    def ensure_groups(self) -> None:
        """Returns when groups can be joined: the first one makes the broker's own topic, which takes seconds."""
        self._commits("nobody", [TopicPartition("nothing", 0)])

    def members(self, group: str) -> Mapping[str, frozenset[int]]:
        """The partitions of each member of a group, as the broker sees it, by member id."""
        answer = self._patiently(lambda: self._admin.describe_consumer_groups([group], request_timeout=_REQUEST_S))[
            group
        ]
        return {
            member.member_id: frozenset(one.partition for one in member.assignment.topic_partitions)
            for member in answer.members
        }

    def _commits(self, group: str, asked: Sequence[TopicPartition]) -> list[TopicPartition]:
        """As a consumer that never joins the group. The administrative client must not be asked for commits: librdkafka
        2.16 ends the process, out of a thread of its own, when the answer is NOT_COORDINATOR or
        COORDINATOR_NOT_AVAILABLE, as a broker's is that has just come back."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        found: list[TopicPartition] = []

        def asked_for() -> bool:
            try:
                found[:] = reader.committed(list(asked), timeout=_REQUEST_S)
            except KafkaException as error:
                if error.args[0].code() not in _COMING:
                    raise
                return False
            return not any(one.error is not None and one.error.code() in _COMING for one in found)

        reader = Consumer(settings)
        try:
            self._until(asked_for, f"knows what {group} has committed")
        finally:
            reader.close()
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return found

    def wait_until_it_answers(self) -> None:
        """Raises `NotToBeHad`, with the broker's last words, when it does not."""
        try:
            self._until(self._answers, "answers")
        except AssertionError:
            words = self._machine.log() if self._machine else ""
            raise NotToBeHad(f"{self.kind} at {self.bootstrap} does not answer\n{words}") from None

    def _patiently(self, ask: Callable[[], Mapping[Key, Future[Any]]]) -> dict[Key, Any]:
        """The answers. A broker that has just come back knows its topics sooner than the rest."""
        answers: dict[Key, Any] = {}

        def asked() -> bool:
            try:
                answers.update({key: answer.result() for key, answer in ask().items()})
            except KafkaException as error:
                if error.args[0].code() not in _COMING:
                    raise
                return False
            return True

        self._until(asked, "knows its groups and leaders")
        return answers

    def _answers(self) -> bool:
        try:
            return bool(self._admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def _until(self, condition: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + _ANSWERS_S
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{self.kind}: after {_ANSWERS_S:g} s still not: {what}"
            self._admin.poll(0.05)  # returns early only for callbacks, of which there are none
        return found


def free_ports() -> Ports:
    """Ports of 127.0.0.1 that nobody listens on, nor will by chance while the broker is down."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == len(Ports.__slots__):
            return Ports(*found)
    raise NotToBeHad("no free ports")
