"""Real worker processes that are killed, stopped and starved."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery, nursery
from tests.chaos.oci_stacks import KafkaStack, QueueStack
from tests.chaos.stacks import Stack
from tests.chaos.standing import NAMES, standing

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
    with standing(request.param, tmp_path, lambda: nullcontext(request.getfixturevalue("killable_kafka"))) as stack:
        yield stack
