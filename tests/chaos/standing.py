"""Stacks by name, ready to be deployed on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.oci_stacks import KafkaStack, QueueStack
from tests.chaos.stacks import DirectoryStack, Stack
from tests.kafka_server import kafka_server
from tests.oci_emulator.client import emulator

NAMES = ("directory", "kafka", "oci_queue")
DIRECTORY_LEASE_S = 3.0


@contextmanager
def standing(name: str, root: Path) -> Iterator[Stack]:
    """A stack whose servers run until the block ends."""
    if name == "directory":
        yield DirectoryStack(root, DIRECTORY_LEASE_S, {})
        return
    with emulator(root / "emulator") as emu:
        if name == "oci_queue":
            yield QueueStack(root, emu)
        else:
            with kafka_server() as kafka:
                yield KafkaStack(root, emu, kafka)
