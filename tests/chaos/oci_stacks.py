"""Stacks on the OCI emulator: its Queue service or a real Kafka as broker, its Object Storage as store."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from random import Random
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from oci.config import from_file
from oci.queue import QueueClient

from tests.chaos.stacks import Fields, Server
from tests.kafka_server import KafkaServer
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from transcriber_worker.app import Office
from transcriber_worker.domain.uri import ObjectUri

LEASE_S = 6.0
"""Of the queue at least five; and the store tells its time in whole seconds."""
PARTITIONS = 12
_SESSION_S = 3.0
_ANSWER_S = 10.0
"""A client that was just made must find the group's coordinator first."""
_SOURCES, _TRANSCRIPTS, _PREFIX = "recordings", "transcripts", "calls/"
_ALWAYS = None


def _answers(status: int, code: str, probability: float, **more: Any) -> dict[str, Any]:
    return {
        "kind": FaultKind.ANSWER, "times": _ALWAYS, "status": status, "code": code, "probability": probability, **more,
    }  # fmt: skip


def _on_its_way(kind: FaultKind, operation: str, probability: float, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "operation": operation, "times": _ALWAYS, "probability": probability, **more}


_EXPIRED = "leases expired"
"""All at once: the servers' clock jumps."""
_WRITES = ("PutObject", "PutMessages", "DeleteMessage", "UpdateMessage")
_STORE_MISCHIEF: dict[str, Sequence[dict[str, Any]]] = {
    "connections recycled": [
        _on_its_way(FaultKind.CLOSE_AFTER, "*", 0.3),
        _on_its_way(FaultKind.RESET_NEXT, "*", 0.2),
    ],
    "slow bodies": [
        _on_its_way(FaultKind.DRIP, "GetObject", 0.5, at_bytes=700, seconds=0.05),
        _on_its_way(FaultKind.SLOW_HEADERS, "*", 0.1, seconds=0.5),
    ],
    "broken bodies": [
        _on_its_way(FaultKind.RESET_BODY, "GetObject", 0.3, at_bytes=100),
        _on_its_way(FaultKind.FIN_BODY, "GetObject", 0.3, at_bytes=200),
        _on_its_way(FaultKind.CORRUPT, "GetObject", 0.3, at_bytes=-1),
        _on_its_way(FaultKind.FIN_BODY, "GetMessages", 0.3, at_bytes=20),
    ],
    "429 burst": [_answers(429, "TooManyRequests", 0.5)],
    "5xx burst": [
        _answers(503, "ServiceUnavailable", 0.2),
        _answers(500, "InternalServerError", 0.2),
        _answers(502, "BadGateway", 0.2, body="<html>bad gateway</html>"),
    ],
    "401 burst": [_answers(401, "NotAuthenticated", 0.4)],
    "lost responses": [
        *(_answers(500, "InternalServerError", 0.2, operation=name, committed=True) for name in _WRITES),
        *(_on_its_way(FaultKind.RESET, name, 0.2, committed=True) for name in _WRITES),
    ],
}
_QUEUE_MISCHIEF: dict[str, Sequence[dict[str, Any]]] = {
    "duplicates": [_on_its_way(FaultKind.DUPLICATE, "GetMessages", 0.5)],
    "empty polls": [_on_its_way(FaultKind.EARLY_EMPTY_POLL, "GetMessages", 0.7)],
}


class EmulatedStore:
    """Object Storage of the emulator, which both stacks have."""

    modules: Sequence[str] = (
        "oci",
        "transcriber_worker.storage.object_storage",
        "transcriber_worker.oci_access.access",
    )
    lease_s = LEASE_S
    _mischief: Sequence[str] = (*_STORE_MISCHIEF, _EXPIRED)

    def __init__(self, root: Path, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store: Server = emulator
        self._config = emulator.write_sdk_config(root / "oci")
        self._folder = root / "oci"
        for bucket in (_SOURCES, _TRANSCRIPTS):
            emulator.create_bucket(bucket)

    def fields(self) -> Fields:
        namespace = self.emulator.namespace
        return {
            "oci": {
                "auth": "api_key",
                "config_file": str(self._config),
                "object_storage_endpoint": self.emulator.url,
                "connect_timeout_s": 1.0,
                "read_timeout_s": 3.0,
                "attempts": 3,
            },
            "storage": {
                "output": f"oci://{_TRANSCRIPTS}@{namespace}/{_PREFIX}",
                "allowed_sources": [f"oci://{_SOURCES}@{namespace}/"],
            },
        }

    def shelve(self, office: Office, recording: Path, name: str) -> ObjectUri:
        self.emulator.put_object(_SOURCES, name, recording.read_bytes())
        return ObjectUri.parse(f"oci://{_SOURCES}@{self.emulator.namespace}/{name}")

    def outputs(self) -> dict[str, bytes]:
        names = [name for name in self.emulator.list_objects(_TRANSCRIPTS) if not name.startswith(f"{_PREFIX}.state/")]
        return {name.removeprefix(_PREFIX): self.emulator.get_object(_TRANSCRIPTS, name) for name in names}

    @contextmanager
    def refused(self) -> Iterator[None]:
        """The key is not known any more, and after the block it is again."""
        profile = from_file(str(self._config))
        self.emulator.revoke("/".join((profile["tenancy"], profile["user"], profile["fingerprint"])))
        try:
            yield
        finally:
            self.emulator.write_sdk_config(self._folder)

    @contextmanager
    def mischief(self, rng: Random) -> Iterator[str]:
        name = rng.choice(self._mischief)
        if name == _EXPIRED:
            self.emulator.advance(LEASE_S + 1)
        for fault in {**_STORE_MISCHIEF, **_QUEUE_MISCHIEF}.get(name, ()):
            self.emulator.fault(**fault)
        try:
            yield name
        finally:
            self.emulator.clear_faults()


class QueueStack(EmulatedStore):
    """The queue is the same server as the store: with one the other dies."""

    name = "oci_queue"
    _mischief = (*_STORE_MISCHIEF, *_QUEUE_MISCHIEF, _EXPIRED)
    modules: Sequence[str] = (*EmulatedStore.modules, "oci.queue", "transcriber_worker.brokers.oci_queue")

    def __init__(self, root: Path, emulator: Emulator) -> None:
        super().__init__(root, emulator)
        self.broker: Server = emulator
        self._queue_id = emulator.create_queue("jobs")
        self._results_id = emulator.create_queue("results")
        self._client = QueueClient(from_file(str(self._config)), service_endpoint=emulator.url)

    def fields(self) -> Fields:
        queue = {
            "queue_id": self._queue_id,
            "results_queue_id": self._results_id,
            "admin_endpoint": self.emulator.url,
            "lease_s": LEASE_S,
        }
        return {**super().fields(), "broker": {"kind": "oci_queue", "oci_queue": queue}}

    def left(self) -> Sequence[PurePath]:
        try:
            stats = self._client.get_stats(self._queue_id).data
        except Exception as error:  # whatever the SDK makes of an injected fault
            raise OSError(str(error)) from error
        counted = {"visible": stats.queue.visible_messages, "in-flight": stats.queue.in_flight_messages}
        counted |= {"dlq": stats.dlq.visible_messages}
        return [PurePath(place, str(number)) for place, count in counted.items() for number in range(count)]

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(message["content"]) for message in self.emulator.dump()["queues"][self._results_id]]


class KafkaStack(EmulatedStore):
    """A real broker. Nothing lies between it and a worker that a test could spoil, so its mischief is rebalances."""

    name = "kafka"
    modules: Sequence[str] = (*EmulatedStore.modules, "confluent_kafka", "transcriber_worker.brokers.kafka")

    def __init__(self, root: Path, emulator: Emulator, kafka: KafkaServer, partitions: int = PARTITIONS) -> None:
        super().__init__(root, emulator)
        self.broker: Server = kafka
        self._kafka = kafka
        self._topic = f"jobs-{uuid.uuid4().hex[:12]}"
        self._group = f"workers-{self._topic}"
        self._partitions = partitions
        kafka.create_topic(self._topic, partitions)
        kafka.create_topic(f"{self._topic}-results", 1)
        kafka.create_topic(f"{self._topic}-dead-letters", 1)

    def fields(self) -> Fields:
        kafka = {
            "bootstrap_servers": self._kafka.bootstrap,
            "topic": self._topic,
            "group": self._group,
            "session_timeout_s": _SESSION_S,
            "assignment": self._kafka.assignment,
            "request_timeout_s": 5.0,
        }
        return {**super().fields(), "broker": {"kind": "kafka", "kafka": kafka}}

    def left(self) -> Sequence[PurePath]:
        try:
            return [PurePath(str(partition), str(offset)) for partition, span in self._spans() for offset in span]
        except KafkaException as error:
            raise OSError(str(error)) from error

    def results(self) -> list[dict[str, Any]]:
        topic = f"{self._topic}-results"
        found: list[dict[str, Any]] = []
        with self._reader() as reader:
            reader.assign([TopicPartition(topic, 0, 0)])
            end = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=_ANSWER_S)[1]
            deadline = time.monotonic() + 60
            while len(found) < end:
                assert time.monotonic() < deadline, f"{len(found)} of {end} results could be read"
                found += [json.loads(one.value() or b"") for one in reader.consume(500, 0.5) if one.error() is None]
        return found

    def _spans(self) -> Iterator[tuple[int, range]]:
        """What the group has not committed, by partition."""
        with self._reader() as reader:
            places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
            for place in reader.committed(places, timeout=_ANSWER_S):
                if place.error is not None:
                    raise KafkaException(place.error)
                end = reader.get_watermark_offsets(place, timeout=_ANSWER_S)[1]
                yield place.partition, range(max(0, place.offset), end)

    @contextmanager
    def _reader(self) -> Iterator[Consumer]:
        """A client that never joins the group. A new one each time: librdkafka's administrative client asks in vain for
        a group's offsets once its broker has been restarted, and then crashes."""
        reader = Consumer(
            {
                "bootstrap.servers": self._kafka.bootstrap,
                "group.id": self._group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def mischief(self, rng: Random) -> Iterator[str]:
        if rng.random() < 0.7:
            with super().mischief(rng) as name:
                yield name
            return
        with _in_background(lambda over: self._come_and_go(over, rng.uniform(0.3, 1.0))):
            yield "rebalance storm"

    def _come_and_go(self, over: threading.Event, stay_s: float) -> None:
        """A member that takes part in the group for a moment and does nothing, again and again."""
        while not over.is_set():
            member = Consumer(
                {
                    "bootstrap.servers": self._kafka.bootstrap,
                    "group.id": self._group,
                    "enable.auto.commit": False,
                    "partition.assignment.strategy": self._kafka.assignment,
                    "session.timeout.ms": int(_SESSION_S * 1000),
                    "log_level": 0,
                }
            )
            member.subscribe([self._topic])
            leaves = time.monotonic() + stay_s
            while time.monotonic() < leaves:
                member.poll(0.1)
            member.close()


@contextmanager
def _in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
