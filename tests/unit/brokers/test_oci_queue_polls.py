"""The emulator's long polls, with the service in this process: what ends one that is under way."""

import json
import threading
from collections.abc import Callable

import pytest

from tests.oci_emulator.clock import VirtualClock
from tests.oci_emulator.faults import Faults
from tests.oci_emulator.queue_model import QueueConfig
from tests.oci_emulator.queue_service import QueueService
from tests.oci_emulator.wire import Request, parsed_target

PROMPT_S = 10
"""Less than the polls' half minute."""


class WatchedClock(VirtualClock):
    """Tells when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, condition: threading.Condition, until: float) -> bool:
        self.waited_for.set()
        return super().wait(condition, until)


class Service:
    """The service, and its one queue."""

    def __init__(self) -> None:
        self.clock = WatchedClock()
        self.service = QueueService(self.clock, Faults())
        self.queue = self.service.create_queue("jobs", QueueConfig(retention_s=100))

    def call(self, method: str, path: str, body: object = None) -> dict[str, list[dict[str, str]]]:
        target = f"/20210201/queues/{self.queue}/{path}"
        parts, query = parsed_target(target)
        response = self.service.handle(
            Request(method, target, parts, query, {"host": "x"}, json.dumps(body).encode(), self.clock.now())
        )
        assert response is not None
        return dict(json.loads(response.body or b"{}"))

    def put(self) -> None:
        self.call("POST", "messages", {"messages": [{"content": "1"}]})

    def release(self, receipt: str) -> None:
        self.call("PUT", f"messages/{receipt}", {"visibilityInSeconds": 0})

    def get(self, timeout_s: int) -> list[dict[str, str]]:
        return self.call("GET", f"messages?visibilityInSeconds=60&timeoutInSeconds={timeout_s}")["messages"]


def while_polling(service: Service, act: Callable[[], None]) -> list[dict[str, str]]:
    """What a poll brings that was waiting already when `act` was called."""
    found: list[list[dict[str, str]]] = []
    service.clock.waited_for.clear()
    thread = threading.Thread(target=lambda: found.append(service.get(30)), daemon=True)
    thread.start()
    assert service.clock.waited_for.wait(PROMPT_S)
    act()
    thread.join(PROMPT_S)
    assert found, "the poll still waits"
    return found[0]


@pytest.fixture
def service() -> Service:
    return Service()


def test_a_message(service: Service) -> None:
    assert [message["content"] for message in while_polling(service, service.put)] == ["1"]


def test_a_message_let_go(service: Service) -> None:
    service.put()
    (held,) = service.get(0)

    found = while_polling(service, lambda: service.release(held["receipt"]))

    assert [message["id"] for message in found] == [held["id"]]


def test_a_lease_that_ends(service: Service) -> None:
    service.put()
    (held,) = service.get(0)

    found = while_polling(service, lambda: service.clock.advance(61))

    assert [message["id"] for message in found] == [held["id"]]


def test_its_own_time(service: Service) -> None:
    assert while_polling(service, lambda: service.clock.advance(31)) == []
