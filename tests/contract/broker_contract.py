"""What every broker promises, whatever carries its messages."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import pytest

from transcriber_worker.brokers.base import Broker, Delivery, Letter
from transcriber_worker.domain.errors import LeaseLost

GARBAGE = [
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"\n\n",
    b'{"version": 1}\n{"version": 2}',
    "Grüße".encode("latin-1"),
    b"[" * 9000,
]


class BrokerHarness(Protocol):
    """How the suite gets at one kind of broker: several workers' connections to one empty queue."""

    lease_s: float
    patience_s: float
    """How long a receive may take to see what is there."""

    def connect(self) -> Broker:
        """One more worker."""
        ...

    def lapse(self, worker: Broker) -> None:
        """Let a worker stand still for so long that its messages go to others, and then go on."""
        ...

    def abandon(self, worker: Broker) -> None:
        """Let a worker be gone as after kill -9: nothing is given back or closed in order."""
        ...

    def pass_time(self, seconds: float) -> None: ...

    def results(self) -> Sequence[bytes]:
        """The result events that somebody sees who drops repeated ids."""
        ...


class BrokerContract:
    """Subclass it with a `harness` fixture."""

    missing: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def worker(self, harness: BrokerHarness) -> Broker:
        return harness.connect()

    @pytest.fixture
    def other(self, harness: BrokerHarness) -> Broker:
        return harness.connect()

    def test_what_was_published_is_received(self, harness: BrokerHarness, worker: Broker) -> None:
        message_id = worker.publish(b'{"source": "oci://b@n/call.mp3"}', {})

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.body == b'{"source": "oci://b@n/call.mp3"}'
        assert delivery.message.id == message_id
        assert delivery.message.origin

    def test_headers_travel_along(self, harness: BrokerHarness, worker: Broker) -> None:
        headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=Ü\n"}
        worker.publish(b"body", headers)

        (delivery,) = take(harness, worker, 1)

        assert {name: delivery.message.headers[name] for name in headers} == headers

    def test_an_empty_queue_gives_nothing(self, worker: Broker) -> None:
        assert list(worker.receive(5, 0.0)) == []

    def test_no_more_than_the_limit_is_received(self, harness: BrokerHarness, worker: Broker) -> None:
        for n in range(5):
            worker.publish(b"%d" % n, {})

        assert list(worker.receive(0, 0.0)) == []
        assert [len(worker.receive(2, harness.patience_s)) for _ in range(3)] == [2, 2, 1]

    @pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:8]))
    def test_garbage_is_delivered_as_it_came(self, harness: BrokerHarness, worker: Broker, body: bytes) -> None:
        """What is no request becomes a dead letter, which is not the broker's business."""
        worker.publish(body, {})

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.body == body

    def test_what_is_settled_does_not_come_back(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)

        delivery.settle()
        harness.pass_time(2 * harness.lease_s)

        take_nothing(harness, other, worker)

    def test_settling_out_of_order_keeps_what_is_not_settled(
        self, harness: BrokerHarness, worker: Broker, other: Broker
    ) -> None:
        for n in range(6):
            worker.publish(b"%d" % n, {})
        deliveries = take(harness, worker, 6)

        for delivery in (deliveries[5], deliveries[1], deliveries[3]):
            delivery.settle()
        harness.abandon(worker)
        harness.pass_time(harness.lease_s + 1)

        unsettled = {deliveries[n].message.id for n in (0, 2, 4)}
        assert {delivery.message.id for delivery in take(harness, other, 3)} == unsettled

    def test_held_messages_go_to_nobody_else(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        """A saturated worker that settles nothing for longer than a lease, but renews."""
        for n in range(4):
            worker.publish(b"%d" % n, {})
        deliveries = take(harness, worker, 4)

        for _ in range(3):
            harness.pass_time(0.6 * harness.lease_s)
            for delivery in deliveries:
                delivery.extend()
            take_nothing(harness, worker, other)

        for delivery in deliveries:
            delivery.settle()

    def test_a_killed_worker_s_messages_come_back(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        worker.publish(b"body", {"traceparent": "00-1-2-01"})
        (lost,) = take(harness, worker, 1)

        harness.abandon(worker)
        harness.pass_time(harness.lease_s + 1)
        (found,) = take(harness, other, 1)

        assert found.message.id == lost.message.id
        assert (found.message.body, found.message.published_at) == (b"body", lost.message.published_at)
        assert found.message.headers["traceparent"] == "00-1-2-01"

    def test_settling_twice_does_nothing_more(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)

        delivery.settle()
        delivery.settle()
        delivery.give_back()

        take_nothing(harness, other, worker)

    def test_what_is_given_back_comes_again_at_once(
        self, harness: BrokerHarness, worker: Broker, other: Broker
    ) -> None:
        message_id = worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)

        delivery.give_back()
        delivery.settle()

        assert [again.message.id for again in take_from_any(harness, [other, worker], 1)] == [message_id]

    def test_what_is_given_back_with_a_delay_comes_after_it(
        self, harness: BrokerHarness, worker: Broker, other: Broker
    ) -> None:
        message_id = worker.publish(b"1", {"traceparent": "00-1-2-01"})
        (delivery,) = take(harness, worker, 1)

        delivery.give_back(30.0)

        harness.pass_time(20.0)
        take_nothing(harness, other, worker)
        harness.pass_time(11.0)
        (again,) = take_from_any(harness, [other, worker], 1)
        assert (again.message.id, again.message.headers["traceparent"]) == (message_id, "00-1-2-01")

    def test_extending_a_lost_lease_says_so(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        worker.publish(b"1", {})
        (lost,) = take(harness, worker, 1)
        harness.lapse(worker)
        (current,) = take(harness, other, 1)

        with pytest.raises(LeaseLost):
            lost.extend()
        with pytest.raises(LeaseLost):
            lost.extend()

        current.extend()

    def test_a_lost_lease_can_t_touch_the_next_one(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        """Settled or given back by a worker that was stopped: the new holder keeps what it has."""
        for n in range(2):
            worker.publish(b"%d" % n, {})
        lost = take(harness, worker, 2)
        harness.lapse(worker)
        current = take(harness, other, 2)

        lost[0].settle()
        lost[1].give_back()

        take_nothing(harness, worker)
        for delivery in current:
            delivery.extend()
        harness.abandon(other)
        harness.pass_time(harness.lease_s + 1)
        assert {delivery.message.body for delivery in take(harness, worker, 2)} == {b"0", b"1"}

    def test_a_given_back_lease_can_t_be_extended(self, harness: BrokerHarness, worker: Broker) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)

        delivery.give_back(10.0)
        delivery.settle()

        with pytest.raises(LeaseLost):
            delivery.extend()

    def test_extending_what_is_settled_does_nothing(
        self, harness: BrokerHarness, worker: Broker, other: Broker
    ) -> None:
        """The heartbeat may come a moment after the job's end."""
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        delivery.settle()

        delivery.extend()

        harness.pass_time(harness.lease_s + 1)
        take_nothing(harness, other, worker)

    def test_closing_lets_go_of_what_is_held(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        for n in range(3):
            worker.publish(b"%d" % n, {})
        settled, *held = take(harness, worker, 3)
        settled.settle()

        worker.close()

        bodies = {delivery.message.body for delivery in take(harness, other, 2)}
        assert bodies == {delivery.message.body for delivery in held}

    def test_a_closed_worker_receives_nothing(self, harness: BrokerHarness, worker: Broker) -> None:
        worker.publish(b"1", {})
        worker.close()

        take_nothing(harness, worker)

    def test_closing_twice_is_no_error(self, worker: Broker) -> None:
        worker.close()
        worker.close()

    def test_a_delivery_can_be_ended_after_the_close(
        self, harness: BrokerHarness, worker: Broker, other: Broker
    ) -> None:
        """A job that outlasts its worker's patience: nothing breaks, and the message is not lost."""
        worker.publish(b"1", {})
        worker.publish(b"2", {})
        settled, given_back = take(harness, worker, 2)
        worker.close()

        settled.settle()
        given_back.give_back()

        received: list[Delivery] = []
        while more := other.receive(2, harness.patience_s):
            received += more
        assert b"2" in {delivery.message.body for delivery in received}

    def test_workers_share_the_queue(self, harness: BrokerHarness, worker: Broker, other: Broker) -> None:
        published = {worker.publish(b"%d" % n, {}) for n in range(10)}

        received = [delivery.message.id for delivery in take_from_any(harness, [worker, other], 10)]

        assert set(received) == published

    def test_the_time_of_publication_is_told(self, harness: BrokerHarness, worker: Broker) -> None:
        worker.publish(b"1", {})
        worker.publish(b"2", {})
        first, second = take(harness, worker, 2)

        assert first.message.published_at is not None
        assert second.message.published_at is not None
        assert abs(first.message.published_at - second.message.published_at) < 60

    def test_the_same_event_announced_again_is_one_event(self, harness: BrokerHarness, worker: Broker) -> None:
        worker.announce("3f2a:2", b'{"type": "transcription.completed"}', None)
        worker.announce("3f2a:2", b'{"type": "transcription.completed"}', None)
        worker.announce("3f2a:3", b'{"type": "transcription.failed"}', None)

        assert sorted(harness.results()) == [
            b'{"type": "transcription.completed"}',
            b'{"type": "transcription.failed"}',
        ]

    def test_dead_letters_are_kept_listed_and_resolved(self, harness: BrokerHarness, worker: Broker) -> None:
        letters = worker.dead_letters
        written = [Letter("b" * 32, b'{"reason": 1}'), Letter("a" * 32, b'{"reason": 2}'), Letter("odd:id/1", b"3")]
        for letter in written:
            letters.put(letter)
            harness.pass_time(1.0)

        assert list(harness.connect().dead_letters.list()) == written
        assert letters.get("a" * 32) == written[1]
        assert letters.get("odd:id/1") == written[2]

        letters.resolve("a" * 32)
        letters.resolve("a" * 32)

        assert letters.get("a" * 32) is None
        assert list(letters.list()) == [written[0], written[2]]

    def test_the_latest_letter_of_an_id_wins(self, worker: Broker) -> None:
        worker.dead_letters.put(Letter("a" * 32, b"1"))
        worker.dead_letters.put(Letter("a" * 32, b"2"))

        assert list(worker.dead_letters.list()) == [Letter("a" * 32, b"2")]

    def test_dead_letters_are_no_messages(self, harness: BrokerHarness, worker: Broker) -> None:
        worker.dead_letters.put(Letter("a" * 32, b"1"))

        assert list(worker.receive(1, harness.patience_s)) == []


def take(harness: BrokerHarness, worker: Broker, count: int) -> list[Delivery]:
    """Exactly `count` deliveries to one worker, in as many calls as it takes while each brings something."""
    taken: list[Delivery] = []
    while len(taken) < count and (more := worker.receive(count - len(taken), harness.patience_s)):
        taken += more
    assert len(taken) == count
    return taken


def take_from_any(harness: BrokerHarness, workers: Sequence[Broker], count: int) -> list[Delivery]:
    """Exactly `count` deliveries, whichever worker gets them: some brokers leave a message with whom it came to."""
    taken: list[Delivery] = []
    before = -1
    while len(taken) < count and len(taken) > before:
        before = len(taken)
        for worker in workers:
            taken += worker.receive(count - len(taken), harness.patience_s / len(workers))
    assert len(taken) == count
    return taken


def take_nothing(harness: BrokerHarness, *workers: Broker) -> None:
    """No worker gets anything."""
    for worker in workers:
        assert list(worker.receive(5, harness.patience_s)) == []
