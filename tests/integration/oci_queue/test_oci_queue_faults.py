"""The OCI Queue adapter when the service misbehaves: nothing lost, nothing crashed, and said as what it is."""

from collections.abc import Callable

import pytest

from tests.contract.broker_contract import take, take_nothing
from tests.oci_emulator.faults import FaultKind
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Broker, Delivery
from transcriber_worker.domain.errors import EnvironmentDown, LeaseLost, PauseReason

STALE = [(404, "NotAuthorizedOrNotFound"), (409, "Conflict"), (409, "IncorrectState"), (400, "InvalidParameter")]


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
        fault = harness.emu.fault(FaultKind.RESET, "UpdateMessage", committed=True)

        delivery.extend()

        assert harness.emu.fired()[fault] == 1

    def test_of_the_deletion_after_a_copy_was_published(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(max_deliveries=2)
        message_id = worker.publish(b"body", {})
        take(harness, worker, 1)[0].give_back()
        harness.emu.fault(FaultKind.ANSWER, "DeleteMessage", times=None, status=503)

        (copy,) = take(harness, worker, 1)
        harness.emu.clear_faults()
        copy.settle()

        assert len(harness.stored()) == 1
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
        [(*call, status) for call in CALLS for status in (429, 502)] + [(*call, 403) for call in CALLS],
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

    def test_closing_meanwhile_is_no_error(
        self, harness: OciQueueHarness, worker: Broker, delivery: Delivery, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A worker that has drained ends well; its leases run out."""
        harness.emu.fault(FaultKind.ANSWER, "UpdateMessages", times=None, status=503)

        worker.close()

        assert "run out by themselves" in caplog.text

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
        fault = harness.emu.fault(FaultKind.ANSWER, operation, status=401, code="NotAuthenticated")

        call(worker, delivery)

        assert harness.emu.fired()[fault] == 1

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
