"""Checks and the changes that they allow are one, also for threads that meet between them."""

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.oci_emulator.faults import Faults
from tests.oci_emulator.journal import Journal
from tests.oci_emulator.object_events import ObjectEvents
from tests.oci_emulator.objects import ObjectStorage
from tests.oci_emulator.wire import Request, ServiceFault
from tests.unit.oci_emulator.sdk import BUCKET, NS

RACERS = 4
ROUNDS = 150


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def objects() -> ObjectStorage:
    journal = Journal()
    storage = ObjectStorage(Faults(), journal, ObjectEvents(lambda queue_id, content: None, journal))
    storage.make_bucket(BUCKET, 0.0)
    return storage


@pytest.mark.usefixtures("restless")
def test_of_racing_writers_with_one_condition_exactly_one_wins(objects: ObjectStorage) -> None:
    together = threading.Barrier(RACERS)
    won: list[int] = []

    def race() -> None:
        for number in range(ROUNDS):
            parts = ("n", NS, "b", BUCKET, "o", str(number))
            request = Request("PUT", "/" + "/".join(parts), parts, {}, {"if-none-match": "*"}, b"", 0.0)
            together.wait()
            try:
                objects.handle(request)
                won.append(number)
            except ServiceFault as fault:
                assert fault.code == "IfNoneMatchFailed"

    racers = [threading.Thread(target=race) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(won) == list(range(ROUNDS))
