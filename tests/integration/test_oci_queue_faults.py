"""The OCI Queue adapter when the service misbehaves: nothing lost, nothing crashed, and said as what it is."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.deployment import until
from tests.contract.broker_contract import take, take_nothing
from tests.oci_emulator.client import Emulator, emulator
from tests.oci_emulator.faults import FaultKind
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Backlog, Broker, Delivery
from transcriber_worker.brokers.oci_queue_backlog import OciQueueBacklog
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, LeaseLost, PauseReason, RejectJob
from transcriber_worker.oci_access.access import OciAccess

STALE = [(404, "NotAuthorizedOrNotFound"), (409, "Conflict"), (409, "IncorrectState"), (400, "InvalidParameter")]


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with emulator() as emu:
        yield emu


@pytest.fixture(scope="module")
def sdk_config(emu: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emu.write_sdk_config(tmp_path_factory.mktemp("oci"))


@pytest.fixture
def harness(emu: Emulator, sdk_config: Path, tmp_path: Path) -> Iterator[OciQueueHarness]:
    yield OciQueueHarness(emu, sdk_config, tmp_path)
    emu.up()
    emu.clear_faults()


@pytest.fixture
def worker(harness: OciQueueHarness) -> Broker:
    return harness.connect()


@pytest.fixture
def delivery(harness: OciQueueHarness, worker: Broker) -> Delivery:
    worker.publish(b"body", {})
    return take(harness, worker, 1)[0]


class TestStaleReceipts:
    """Which of these the service answers is documented nowhere."""

    @pytest.mark.parametrize(("status", "code"), STALE)
    def test_a_lost_lease_is_lost_at_once(
        self, harness: OciQueueHarness, delivery: Delivery, status: int, code: str
    ) -> None:
        harness.pass_time(harness.lease_s + 1)
        fault = harness.emu.fault(FaultKind.STALE_RECEIPT, "UpdateMessage", times=None, status=status, code=code)

        with pytest.raises(LeaseLost):
            delivery.extend()

        assert harness.emu.fired()[fault] == 1, "trying again can't help"

    @pytest.mark.parametrize(("status", "code"), STALE)
    @pytest.mark.parametrize("end", [lambda it: it.settle(), lambda it: it.give_back(), lambda it: it.give_back(5.0)])
    def test_ending_a_lost_lease_is_no_error(
        self, harness: OciQueueHarness, delivery: Delivery, status: int, code: str, end: Callable[[Delivery], None]
    ) -> None:
        harness.pass_time(harness.lease_s + 1)
        fault = harness.emu.fault(FaultKind.STALE_RECEIPT, times=None, status=status, code=code)

        end(delivery)

        assert harness.emu.fired()[fault] == 1
        take(harness, harness.connect(), 1)

    def test_a_receipt_that_still_works_after_its_end_is_as_good(
        self, harness: OciQueueHarness, delivery: Delivery
    ) -> None:
        harness.emu.switch(stale_receipt_strict=False)
        harness.pass_time(harness.lease_s + 1)

        delivery.extend()

        take_nothing(harness, harness.connect())


class TestLostAnswers:
    @pytest.mark.parametrize("kind", [FaultKind.ANSWER, FaultKind.RESET])
    def test_of_a_deletion(self, harness: OciQueueHarness, delivery: Delivery, kind: FaultKind) -> None:
        harness.emu.fault(kind, "DeleteMessage", committed=True)

        delivery.settle()
        delivery.extend()

        assert harness.stored() == []

    @pytest.mark.parametrize("kind", [FaultKind.ANSWER, FaultKind.RESET])
    def test_of_a_publication(self, harness: OciQueueHarness, worker: Broker, kind: FaultKind) -> None:
        """It may be there twice: the job's record makes one of it."""
        harness.emu.fault(kind, "PutMessages", committed=True)

        message_id = worker.publish(b"body", {})

        deliveries = take(harness, worker, 2)
        assert {it.message.body for it in deliveries} == {b"body"}
        assert message_id in {it.message.id for it in deliveries}

    def test_of_a_poll(self, harness: OciQueueHarness, worker: Broker) -> None:
        """What it had taken comes back when its lease ends."""
        message_id = worker.publish(b"body", {})
        harness.emu.fault(FaultKind.RESET_BODY, "GetMessages", at_bytes=40)

        take_nothing(harness, worker)
        harness.pass_time(harness.lease_s + 1)

        assert take(harness, worker, 1)[0].message.id == message_id

    def test_of_an_extension(self, harness: OciQueueHarness, delivery: Delivery) -> None:
        harness.emu.fault(FaultKind.RESET, "UpdateMessage", committed=True)

        delivery.extend()

    def test_of_the_deletion_after_a_copy_was_published(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(max_deliveries=2)
        message_id = worker.publish(b"body", {})
        take(harness, worker, 1)[0].give_back()
        harness.emu.fault(FaultKind.ANSWER, "DeleteMessage", times=None, status=503)

        (copy,) = take(harness, worker, 1)
        harness.emu.clear_faults()
        copy.settle()
        harness.pass_time(harness.lease_s + 1)

        assert [twin.message.id for twin in take(harness, worker, 1)] == [message_id]


def test_a_message_delivered_twice_is_settled_twice(harness: OciQueueHarness, worker: Broker) -> None:
    message_id = worker.publish(b"body", {})
    harness.emu.fault(FaultKind.DUPLICATE, "GetMessages")
    (first,) = take(harness, worker, 1)
    (second,) = take(harness, harness.connect(), 1)

    assert first.message == second.message
    assert first.message.id == message_id
    first.settle()
    second.extend()
    second.settle()
    assert harness.stored() == []


class TestOutages:
    CALLS: tuple[tuple[str, Callable[[Broker, Delivery], object]], ...] = (
        ("GetMessages", lambda worker, delivery: worker.receive(1, 0.0)),
        ("UpdateMessage", lambda worker, delivery: delivery.extend()),
        ("UpdateMessage", lambda worker, delivery: delivery.give_back(10.0)),
        ("DeleteMessage", lambda worker, delivery: delivery.settle()),
        ("PutMessages", lambda worker, delivery: worker.publish(b"another", {})),
        ("PutMessages", lambda worker, delivery: worker.announce("1", b"{}", None)),
    )

    @pytest.mark.parametrize("status", [429, 500, 503])
    @pytest.mark.parametrize(("operation", "call"), CALLS)
    def test_one_bad_answer_is_not_noticed(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
        status: int,
    ) -> None:
        fault = harness.emu.fault(FaultKind.ANSWER, operation, status=status, headers={"retry-after": "1"})

        call(worker, delivery)

        assert harness.emu.fired()[fault] == 1

    @pytest.mark.parametrize(
        ("operation", "call", "status"),
        [(*call, status) for call in CALLS for status in (429, 502)] + [(*call, 403) for call in CALLS[:4]],
    )
    def test_one_that_lasts_is_the_broker_s_and_can_be_tried_again(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
        status: int,
    ) -> None:
        harness.emu.fault(FaultKind.ANSWER, operation, times=None, status=status, body="<html>")

        with pytest.raises(EnvironmentDown) as down:
            call(worker, delivery)

        assert down.value.part is PauseReason.BROKER
        assert str(status) in str(down.value)
        assert "http" not in str(down.value)
        harness.emu.clear_faults()
        call(worker, delivery)

    @pytest.mark.parametrize(("operation", "call"), CALLS)
    def test_connections_that_are_recycled_are_not_noticed(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
    ) -> None:
        fault = harness.emu.fault(FaultKind.RESET_NEXT, times=None)

        call(worker, delivery)
        call(worker, delivery)

        assert harness.emu.fired()[fault] >= 1

    def test_messages_that_can_t_be_saved_now_are_begun_all_the_same(
        self, harness: OciQueueHarness, worker: Broker
    ) -> None:
        for n in range(5):
            worker.publish(b"%d" % n, {})
        for _ in range(3):
            for delivery in take(harness, worker, 5):
                delivery.give_back()
        fault = harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=503)

        deliveries = take(harness, worker, 5)

        assert harness.emu.fired()[fault] == 2, "one message's two tries"
        for delivery in deliveries:
            delivery.settle()
        assert harness.stored() == []

    @pytest.mark.parametrize(("operation", "call"), CALLS)
    def test_a_service_out_of_reach(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
    ) -> None:
        harness.emu.down()

        with pytest.raises(EnvironmentDown) as down:
            call(worker, delivery)

        assert down.value.part is PauseReason.BROKER
        harness.emu.up()
        harness.pass_time(5)
        call(worker, delivery)

    @pytest.mark.parametrize(("operation", "call"), CALLS)
    def test_credentials_refused_once_are_read_again(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
    ) -> None:
        harness.emu.fault(FaultKind.ANSWER, operation, status=401, code="NotAuthenticated")

        call(worker, delivery)

    @pytest.mark.parametrize(("operation", "call"), CALLS)
    def test_credentials_refused_for_good_are_said_to_be(
        self,
        harness: OciQueueHarness,
        worker: Broker,
        delivery: Delivery,
        operation: str,
        call: Callable[[Broker, Delivery], object],
    ) -> None:
        fault = harness.emu.fault(FaultKind.ANSWER, operation, times=None, status=401, code="NotAuthenticated")

        with pytest.raises(EnvironmentDown) as down:
            call(worker, delivery)

        assert down.value.part is PauseReason.CREDENTIALS
        assert harness.emu.fired()[fault] == 2

    def test_settling_can_be_tried_again_after_one(
        self, harness: OciQueueHarness, worker: Broker, delivery: Delivery
    ) -> None:
        harness.emu.fault(FaultKind.ANSWER, "DeleteMessage", times=None, status=503)
        with pytest.raises(EnvironmentDown):
            delivery.settle()
        harness.emu.clear_faults()
        delivery.extend()

        delivery.settle()

        assert harness.stored() == []


class TestStrangeAnswers:
    @pytest.mark.parametrize(
        ("status", "body"),
        [(200, ""), (200, "<html>busy</html>"), (200, "[]"), (200, "null"), (200, "{}"), (200, '{"messages": null}'),
         (200, '{"messages": [{}]}'), (200, '{"messages": [{"id": 1}]}'), (200, '{"messages": 5}'), (204, ""),
         (200, '{"messages": [')],
    )  # fmt: skip
    def test_half_a_poll_s_answer_is_no_message_and_no_crash(
        self, harness: OciQueueHarness, worker: Broker, status: int, body: str
    ) -> None:
        harness.emu.fault(
            FaultKind.ANSWER,
            "GetMessages",
            times=None,
            status=status,
            body=body,
            headers={"content-type": "application/json"},
        )

        try:
            assert list(worker.receive(5, 0.0)) == []
        except EnvironmentDown as down:
            assert down.part is PauseReason.BROKER
        harness.emu.clear_faults()
        worker.publish(b"body", {})
        take(harness, worker, 1)

    @pytest.mark.parametrize("body", ["", "<html>", "{}", '{"messages": []}', '{"messages": [{}]}'])
    def test_a_publication_that_was_not_answered_is_not_said_to_be_done(
        self, harness: OciQueueHarness, worker: Broker, body: str
    ) -> None:
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=200, body=body)

        with pytest.raises(EnvironmentDown):
            worker.publish(b"body", {})

    def test_control_characters_within_an_answer(self, harness: OciQueueHarness, worker: Broker) -> None:
        body = (
            '{"messages": [{"id": 7, "content": "a\x01b\x1f", "receipt": "r", "deliveryCount": 1,'
            ' "visibleAfter": "2026-11-21T01:25:27.405Z", "expireAfter": "2026-11-22T01:25:27.405Z",'
            ' "createdAt": "2026-11-21T01:20:27.405Z"}]}'
        )
        harness.emu.fault(
            FaultKind.ANSWER, "GetMessages", status=200, body=body, headers={"content-type": "application/json"}
        )

        (delivery,) = worker.receive(1, 0.0)

        assert delivery.message.body == b"a\x01b\x1f"

    def test_an_early_empty_poll(self, harness: OciQueueHarness, worker: Broker) -> None:
        worker.publish(b"body", {})
        harness.emu.fault(FaultKind.EARLY_EMPTY_POLL, "GetMessages")

        take_nothing(harness, worker)
        take(harness, worker, 1)


class TestEndpoint:
    def test_one_that_may_not_be_read_says_what_to_set(self, harness: OciQueueHarness, worker: Broker) -> None:
        harness.emu.fault(FaultKind.ANSWER, "GetQueue", times=None, status=404, code="NotAuthorizedOrNotFound")

        with pytest.raises(EnvironmentDown, match=r"`read queues`, or set broker\.oci_queue\.endpoint"):
            worker.receive(1, 0.0)

    def test_one_that_is_given_needs_no_admin_service(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(endpoint=harness.emu.url, admin_endpoint="http://127.0.0.1:9")
        worker.publish(b"body", {})

        take(harness, worker, 1)[0].settle()

    def test_a_queue_that_is_not_there(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(queue_id="ocid1.queue.oc1..nowhere", endpoint=harness.emu.url)

        with pytest.raises(EnvironmentDown, match=r"queue nowhere can't be read .*is `use queue-pull` allowed"):
            worker.receive(1, 0.0)


class TestPublishing:
    def test_a_message_too_large_is_refused_with_its_size(self, harness: OciQueueHarness, worker: Broker) -> None:
        with pytest.raises(RejectJob, match="131073 bytes"):
            worker.publish(b"x" * (128 * 1024 + 1), {})

    def test_results_go_to_the_channel_that_was_asked_for(self, harness: OciQueueHarness, worker: Broker) -> None:
        worker.announce("1", b'{"id": "1"}', "tenant-a")
        worker.announce("2", b'{"id": "2"}', None)
        worker.announce("3", b'{"id": "3"}', "x" * 65)
        worker.announce("4", b'{"id": "4"}', "")

        assert [it["channel"] for it in harness.stored(harness.results_id)] == ["tenant-a", None, None, None]

    def test_a_channel_that_is_refused_does_not_stop_the_result(self, harness: OciQueueHarness, worker: Broker) -> None:
        """A queue has room for 256 channels, and reply_to is the publisher's."""
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", status=400, code="InvalidParameter")

        worker.announce("1", b'{"id": "1"}', "one-too-many")

        assert [it["channel"] for it in harness.stored(harness.results_id)] == [None]

    def test_results_that_may_not_be_published_are_an_outage(self, harness: OciQueueHarness, worker: Broker) -> None:
        """No job may end unannounced."""
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

        with pytest.raises(EnvironmentDown, match="result events"):
            worker.announce("1", b"{}", "tenant-a")

    def test_without_a_results_queue_there_are_no_results(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(results_queue_id=None)
        harness.emu.clear_requests()

        worker.announce("1", b"{}", None)

        assert harness.emu.counts() == {}

    def test_a_worker_of_one_channel_gets_and_sends_nothing_else(
        self, harness: OciQueueHarness, worker: Broker
    ) -> None:
        mine = harness.connect(channel="mine")
        worker.publish(b"theirs", {})
        mine.publish(b"mine", {})

        assert [it.message.body for it in take(harness, mine, 1)] == [b"mine"]
        take_nothing(harness, mine)


class TestLongPolls:
    """In real time: the emulator waits, and so does the worker."""

    @pytest.fixture
    def worker(self, harness: OciQueueHarness) -> Broker:
        harness.clock = SystemClock()
        return harness.connect(endpoint=harness.emu.url, max_deliveries=5)

    @pytest.fixture
    def polled(self, harness: OciQueueHarness, worker: Broker) -> Iterator[list[Delivery]]:
        """A poll of 20 s under way, and what it brings."""
        found: list[Delivery] = []
        harness.emu.clear_requests()
        thread = threading.Thread(target=lambda: found.extend(worker.receive(1, 20.0)))
        thread.start()
        yield found
        thread.join()

    def test_a_message_ends_the_wait(self, harness: OciQueueHarness, polled: list[Delivery]) -> None:
        harness.connect(endpoint=harness.emu.url).publish(b"body", {})

        until(lambda: bool(polled), "the poll brings the message")

        assert harness.emu.counts()["GetMessages"] == 1

    def test_a_lease_that_ends_by_virtual_time_ends_the_wait(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(endpoint=harness.emu.url)
        worker.publish(b"body", {})
        take(harness, worker, 1)
        found: list[Delivery] = []
        thread = threading.Thread(target=lambda: found.extend(harness.connect().receive(1, 20.0)))
        thread.start()

        harness.pass_time(harness.lease_s + 1)

        until(lambda: bool(found), "the poll brings the message")
        thread.join()

    def test_what_comes_after_closing_is_let_go(
        self, harness: OciQueueHarness, worker: Broker, polled: list[Delivery]
    ) -> None:
        worker.close()
        harness.connect(endpoint=harness.emu.url).publish(b"body", {})

        until(lambda: harness.emu.counts().get("UpdateMessages") == 1, "the message is let go")

        assert polled == []
        assert len(take(harness, harness.connect(), 1)) == 1


class TestBacklog:
    def test_waiting_in_flight_and_put_aside(self, harness: OciQueueHarness, worker: Broker) -> None:
        for n in range(6):
            worker.publish(b"%d" % n, {})
        take(harness, worker, 2)
        reader = OciQueueBacklog(harness.settings(), OciAccess(harness.oci, harness.clock), harness.clock)

        assert reader.read() == Backlog(waiting=4, in_flight=2, dead_letters=0)

    def test_what_is_not_known_is_not_zero(self, harness: OciQueueHarness) -> None:
        reader = OciQueueBacklog(harness.settings(), OciAccess(harness.oci, harness.clock), harness.clock)
        for answer in ({"status": 503}, {"status": 200, "body": ""}, {"status": 200, "body": "{}"}):
            harness.emu.fault(FaultKind.ANSWER, "GetStats", times=None, **answer)
            with pytest.raises(EnvironmentDown):
                reader.read()
            harness.emu.clear_faults()

        with pytest.raises(EnvironmentDown, match="is `read queues` allowed"):
            OciQueueBacklog(
                harness.settings(queue_id="ocid1.queue.oc1..nowhere", endpoint=harness.emu.url),
                OciAccess(harness.oci, harness.clock),
                harness.clock,
            ).read()
