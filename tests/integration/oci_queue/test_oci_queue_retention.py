"""Messages of an OCI queue that are about to end: the service forgets them, in flight or not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.broker_contract import take, take_nothing
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.errors import LeaseLost

HEADERS = {"traceparent": "00-1-2-01"}


@pytest.fixture
def harness(emu: Emulator, sdk_config: Path, tmp_path: Path) -> Iterator[OciQueueHarness]:
    """Messages live for five minutes, and leases are of one."""
    yield OciQueueHarness(emu, sdk_config, tmp_path, retention_s=300)
    emu.clear_faults()


def test_a_message_about_to_expire_is_published_anew(harness: OciQueueHarness, worker: Broker) -> None:
    """Whoever died with it would take it with him."""
    message_id = worker.publish(b"body", HEADERS)
    harness.pass_time(250)

    (delivery,) = take(harness, worker, 1)

    assert delivery.message.id == message_id
    assert harness.republished() == 1
    harness.pass_time(harness.lease_s + 1)
    assert [again.message.id for again in take(harness, worker, 1)] == [message_id]


def test_a_message_that_expires_in_flight_is_with_nobody_else_and_not_lost(
    harness: OciQueueHarness, worker: Broker, other: Broker
) -> None:
    """A copy goes out before its end: whoever gets it waits for the record of the job that still runs."""
    message_id = worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)

    for _ in range(17):
        harness.pass_time(20)
        delivery.extend()

    assert [copy.message.id for copy in take(harness, other, 1)] == [message_id]
    delivery.settle()
    assert len(harness.stored()) == 1


@pytest.mark.parametrize("clip", [True, False])
def test_where_publishing_is_refused_the_job_goes_on_under_its_record(
    harness: OciQueueHarness, worker: Broker, clip: bool
) -> None:
    """And never asks for more than the message has: the service may refuse it, as it does a lost lease."""
    harness.emu.switch(queue_clip_at_retention=clip)
    worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)
    harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

    for _ in range(15):
        harness.pass_time(20)
        delivery.extend()
    harness.emu.clear_requests()
    harness.pass_time(20)
    delivery.extend()

    assert harness.emu.counts() == {}
    delivery.settle()
    assert harness.stored() == []


def test_a_lease_lost_before_that_is_lost_all_the_same(harness: OciQueueHarness, worker: Broker, other: Broker) -> None:
    worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)
    harness.pass_time(harness.lease_s + 1)
    take(harness, other, 1)

    with pytest.raises(LeaseLost):
        delivery.extend()


def test_a_delay_longer_than_what_is_left_loses_nothing(harness: OciQueueHarness, worker: Broker) -> None:
    message_id = worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)

    delivery.give_back(400.0)
    harness.pass_time(299)

    assert [again.message.id for again in take(harness, worker, 1)] == [message_id]


def test_nor_is_the_message_tried_over_and_over_meanwhile(harness: OciQueueHarness, worker: Broker) -> None:
    """A copy is there at once."""
    worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)

    delivery.give_back(400.0)

    take_nothing(harness, worker)


def test_nor_does_it_where_publishing_is_refused(harness: OciQueueHarness, worker: Broker) -> None:
    """The delay is cut short, so that there is a lease's time left to take it."""
    message_id = worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)
    harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

    delivery.give_back(400.0)
    harness.pass_time(200)
    take_nothing(harness, worker)
    harness.pass_time(60)

    assert [again.message.id for again in take(harness, worker, 1)] == [message_id]


def test_a_wrong_clock_of_this_machine_does_not_matter(harness: OciQueueHarness, worker: Broker) -> None:
    """The harness's is off by more than a year; an hour would be enough to lose every lease."""
    worker.publish(b"body", {})
    (delivery,) = take(harness, worker, 1)

    for _ in range(5):
        harness.pass_time(20)
        delivery.extend()

    harness.pass_time(50)
    take_nothing(harness, worker)
    assert abs(harness.clock.now() - harness.emu.now()) > 86_400
