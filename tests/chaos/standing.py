"""Stacks by name, ready to be deployed on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.chaos.oci_stacks import PARTITIONS, KafkaStack, QueueStack
from tests.chaos.stacks import DirectoryStack, Stack
from tests.kafka_server import KafkaServer, kafka_server
from tests.oci_emulator.client import emulator

NAMES = ("directory", "kafka", "oci_queue")
DIRECTORY_LEASE_S = 3.0


@contextmanager
def standing(
    name: str,
    root: Path,
    kafka: Callable[[], AbstractContextManager[KafkaServer]] = kafka_server,
    partitions: int = PARTITIONS,
) -> Iterator[Stack]:
    """A stack whose servers run until the block ends. `kafka`: asked for only where it is needed."""
    if name == "directory":
        yield DirectoryStack(root, DIRECTORY_LEASE_S, {})
        return
    with emulator(root / "emulator") as emu:
        if name == "oci_queue":
            yield QueueStack(root, emu)
        else:
            with kafka() as server:
                yield KafkaStack(root, emu, server, partitions)
