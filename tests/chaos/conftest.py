"""Real worker processes that are killed, stopped and starved."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery, nursery
from tests.chaos.oci_stacks import KafkaStack, QueueStack
from tests.chaos.stacks import DirectoryStack, Stack
from tests.chaos.standing import DIRECTORY_LEASE_S, NAMES
from tests.kafka_server import KafkaServer
from tests.oci_emulator.client import emulator

pytest.register_assert_rewrite("tests.chaos.verdicts", "tests.chaos.deployment")


@pytest.fixture(scope="session")
def launch() -> Iterator[Nursery]:
    """Workers for any stack, in no time."""
    with nursery([*KafkaStack.modules, *QueueStack.modules]) as launcher:
        yield launcher


@pytest.fixture(params=NAMES)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Each stack, with servers that may be killed."""
    # What the death of a server looks like from this side is no news.
    logging.getLogger("confluent_kafka").addHandler(logging.NullHandler())
    if request.param == "directory":
        yield DirectoryStack(tmp_path, DIRECTORY_LEASE_S, {})
        return
    with ExitStack() as servers:
        emu = servers.enter_context(emulator(tmp_path / "emulator"))
        if request.param == "oci_queue":
            yield QueueStack(tmp_path, emu)
        else:
            kafka: KafkaServer = request.getfixturevalue("killable_kafka")
            yield KafkaStack(tmp_path, emu, kafka)
