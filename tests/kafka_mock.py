"""A Kafka cluster inside librdkafka, for errors that a real broker can't be made to answer with.

Its functions are in the library that confluent-kafka brings; Python has no binding for them, so they are called by
ctypes. It speaks the real protocol over real sockets of 127.0.0.1.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import confluent_kafka

_PRODUCER = 0


class Api(IntEnum):
    """Requests, by their number in Kafka's protocol."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14


class KafkaMock:
    """One cluster of one broker. `bootstrap`: host:port."""

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = ctypes.c_void_p(cluster)
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int = 1) -> str:
        self._done(self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))
        return name

    def fail_next(self, api: Api, *codes: int) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(api), ctypes.c_size_t(len(codes)), array
        )

    def refuse_topic(self, name: str, code: int) -> None:
        """Let every request that names the topic fail; 0 ends it."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def down(self) -> None:
        """No connection is accepted, those there are break."""
        self._done(self._library.rd_kafka_mock_broker_set_down(self._cluster, 1))

    def up(self) -> None:
        self._done(self._library.rd_kafka_mock_broker_set_up(self._cluster, 1))

    @staticmethod
    def _done(error: int) -> None:
        assert error == 0, f"librdkafka error {error}"


@contextmanager
def kafka_mock() -> Iterator[KafkaMock]:
    """A cluster that is gone when the block ends."""
    library = _library()
    reason = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(_PRODUCER, None, reason, len(reason))
    assert handle, reason.value.decode()
    cluster = library.rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(ctypes.c_void_p(cluster), 100)
    try:
        yield KafkaMock(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(ctypes.c_void_p(handle))


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library
