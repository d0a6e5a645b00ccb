"""Messages of an OCI queue while workers have them: kept, lost, given back, saved from the service's own limits."""

from pathlib import Path
from typing import Any

import pytest
from oci.queue import QueueClient
from oci.queue.models import MessageMetadata, PutMessagesDetails, PutMessagesDetailsEntry

from tests.contract.broker_contract import take, take_nothing
from tests.oci_emulator.client import Emulator
from tests.oci_emulator.faults import FaultKind
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Broker
from transcriber_worker.brokers.oci_queue_envelope import Origin, sealed
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import EnvironmentDown, LeaseLost
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.pipeline.heartbeat import Heartbeat

HEADERS = {"traceparent": "00-1-2-01"}


def put_plainly(harness: OciQueueHarness, content: str, **metadata: Any) -> None:
    """As any other publisher does."""
    entry = PutMessagesDetailsEntry(content=content, metadata=MessageMetadata(**metadata) if metadata else None)
    client = OciAccess(harness.oci, harness.clock).queue(harness.emu.url)
    client.put_messages(harness.queue_id, PutMessagesDetails(messages=[entry]))


class TestHeartbeat:
    """The pipeline's own, beaten by hand."""

    @pytest.fixture
    def failures(self) -> list[Exception]:
        return []

    @pytest.fixture
    def heartbeat(self, harness: OciQueueHarness, failures: list[Exception]) -> Heartbeat:
        return Heartbeat(harness.lease_s / 3, harness.clock, lambda: None, failures.append)

    def test_a_service_that_does_not_answer_for_one_message_leaves_time_for_the_others(
        self, harness: OciQueueHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are renewed one after the other, and a lease is tried twice."""
        silences_s: list[float | None] = []
        made = OciAccess.queue

        def watched(access: OciAccess, endpoint: str, *, read_timeout_s: float | None = None) -> QueueClient:
            silences_s.append(read_timeout_s)
            return made(access, endpoint, read_timeout_s=read_timeout_s)

        monkeypatch.setattr(OciAccess, "queue", watched)
        worker = harness.connect(lease_s=8.0)
        worker.publish(b"body", {})
        (delivery,) = take(harness, worker, 1)

        delivery.extend()

        assert silences_s[-1] == 2.0

    def test_a_lease_shorter_than_the_job_is_kept_to_the_end(
        self, harness: OciQueueHarness, worker: Broker, other: Broker, heartbeat: Heartbeat, failures: list[Exception]
    ) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        cancel = CancelToken()

        with heartbeat.keeping(delivery, cancel):
            for _ in range(60):
                harness.pass_time(harness.lease_s / 3)
                heartbeat.extend_messages()
                take_nothing(harness, other)
        delivery.settle()

        assert not cancel.cancelled
        assert failures == []
        assert harness.stored() == []

    def test_a_job_whose_heartbeats_were_cut_is_cancelled(
        self, harness: OciQueueHarness, worker: Broker, other: Broker, heartbeat: Heartbeat
    ) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        cancel = CancelToken()

        with heartbeat.keeping(delivery, cancel):
            harness.pass_time(harness.lease_s + 1)
            (current,) = take(harness, other, 1)
            heartbeat.extend_messages()

        with pytest.raises(LeaseLost):
            cancel.raise_if_cancelled()
        delivery.settle()
        current.extend()
        current.settle()

    def test_an_outage_shorter_than_the_lease_loses_nothing(
        self, harness: OciQueueHarness, worker: Broker, other: Broker, heartbeat: Heartbeat, failures: list[Exception]
    ) -> None:
        worker.publish(b"1", {})
        (delivery,) = take(harness, worker, 1)
        harness.emu.fault(FaultKind.RESET, "UpdateMessage", times=None)
        cancel = CancelToken()

        with heartbeat.keeping(delivery, cancel):
            for _ in range(2):
                harness.pass_time(harness.lease_s / 3)
                heartbeat.extend_messages()
            harness.emu.clear_faults()
            harness.pass_time(harness.lease_s / 4)
            heartbeat.extend_messages()
            harness.pass_time(harness.lease_s / 2)
            take_nothing(harness, other)

        assert [type(failure) for failure in failures] == [EnvironmentDown] * 2
        assert not cancel.cancelled

    def test_one_silence_is_not_waited_for_by_every_message(
        self, harness: OciQueueHarness, worker: Broker, heartbeat: Heartbeat, failures: list[Exception]
    ) -> None:
        """Ten timeouts in a row would cost the leases that the outage would have spared."""
        for n in range(10):
            worker.publish(b"%d" % n, {})
        deliveries = take(harness, worker, 10)
        silence = harness.emu.fault(FaultKind.RESET, "UpdateMessage", times=None)

        for delivery in deliveries:
            with pytest.raises(EnvironmentDown):
                delivery.extend()

        asked = harness.emu.fired()[silence]
        assert asked == 2, "one message's two tries"
        harness.pass_time(harness.lease_s / 3)
        with pytest.raises(EnvironmentDown):
            deliveries[5].extend()
        assert harness.emu.fired()[silence] > asked


class TestDeadLetterCount:
    @pytest.mark.parametrize("count", [2, 3, 5, 20])
    def test_no_number_of_hand_backs_brings_a_message_into_the_service_s_dead_letter_queue(
        self, emu: Emulator, sdk_config: Path, tmp_path: Path, count: int
    ) -> None:
        """It can't be read from there."""
        harness = OciQueueHarness(emu, sdk_config, tmp_path, dead_letter_count=count)
        worker = harness.connect()
        message_id = worker.publish(b"body", HEADERS)
        published_at = harness.stored()[0]["created_at"]

        for _ in range(50):
            (delivery,) = take(harness, worker, 1)
            assert (delivery.message.id, delivery.message.body) == (message_id, b"body")
            assert delivery.message.headers == HEADERS
            assert delivery.message.published_at == pytest.approx(published_at, abs=0.01)
            assert delivery.message.origin == f"oci_queue:{message_id}"
            delivery.give_back()

        assert harness.dead() == 0
        assert len(harness.stored()) == 1
        assert harness.republished() > 0

    def test_nor_do_workers_that_die(self, harness: OciQueueHarness) -> None:
        message_id = harness.connect().publish(b"body", {})

        for _ in range(20):
            (delivery,) = take(harness, harness.connect(), 1)
            assert delivery.message.id == message_id
            harness.pass_time(harness.lease_s + 1)

        assert harness.dead() == 0

    def test_without_one_nothing_is_published_anew(self, emu: Emulator, sdk_config: Path, tmp_path: Path) -> None:
        harness = OciQueueHarness(emu, sdk_config, tmp_path, dead_letter_count=0)
        worker = harness.connect()
        worker.publish(b"body", {})

        for _ in range(30):
            take(harness, worker, 1)[0].give_back()

        assert harness.republished() == 0

    def test_where_the_count_can_t_be_read_it_is_guessed_low(self, harness: OciQueueHarness) -> None:
        harness.emu.fault(FaultKind.ANSWER, "GetQueue", times=None, status=404, code="NotAuthorizedOrNotFound")
        worker = harness.connect(endpoint=harness.emu.url)
        worker.publish(b"body", {})

        for _ in range(20):
            take(harness, worker, 1)[0].give_back()

        assert harness.dead() == 0
        assert harness.emu.fired() == [1], "it is not asked again and again"

    def test_where_the_count_is_given_nobody_is_asked(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(endpoint=harness.emu.url, max_deliveries=5)
        worker.publish(b"body", {})
        harness.emu.clear_requests()

        take(harness, worker, 1)

        assert harness.emu.counts() == {"GetMessages": 1}

    def test_where_publishing_is_refused_the_message_is_processed_as_it_is(self, harness: OciQueueHarness) -> None:
        worker = harness.connect()
        worker.publish(b"body", {})
        for _ in range(3):
            take(harness, worker, 1)[0].give_back()
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

        (delivery,) = take(harness, worker, 1)
        delivery.extend()
        delivery.settle()

        assert harness.stored() == []
        assert harness.republished() == 0

    def test_a_copy_keeps_its_channel_and_properties(self, harness: OciQueueHarness) -> None:
        put_plainly(harness, "body", channel_id="tenant-a", custom_properties={"k": "v"})
        worker = harness.connect(channel="tenant-a", max_deliveries=2)
        take(harness, worker, 1)[0].give_back()

        take(harness, worker, 1)[0].give_back()

        (copy,) = harness.stored()
        assert (copy["channel"], copy["properties"]) == ("tenant-a", {"k": "v"})
        assert harness.republished() == 1


class TestForgedEnvelopes:
    def test_a_message_can_t_pretend_to_be_younger_than_it_is(self, harness: OciQueueHarness, worker: Broker) -> None:
        """The youngest of two requests for one transcript wins."""
        put_plainly(harness, sealed(b"body", {}, Origin("abc/1", harness.emu.now() + 10_000)))

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.published_at is not None
        assert delivery.message.published_at <= harness.emu.now()

    def test_other_publishers_messages_are_delivered_as_they_are(
        self, harness: OciQueueHarness, worker: Broker
    ) -> None:
        put_plainly(harness, '{"source": "oci://b@n/Grüße\\u0001.mp3"}\n', channel_id="tenant-a")

        (delivery,) = take(harness, worker, 1)

        assert delivery.message.body == '{"source": "oci://b@n/Grüße\\u0001.mp3"}\n'.encode()
        assert delivery.message.headers == {}


def test_closing_releases_many_at_once(harness: OciQueueHarness, worker: Broker, other: Broker) -> None:
    for n in range(25):
        worker.publish(b"%d" % n, {})
    take(harness, worker, 25)
    harness.emu.fault(FaultKind.ENTRY_FAILURE, "UpdateMessages", times=1, status=404)
    harness.emu.clear_requests()

    worker.close()

    assert harness.emu.counts() == {"UpdateMessages": 2}
    assert len(take(harness, other, 24)) == 24
    harness.pass_time(harness.lease_s + 1)
    take(harness, harness.connect(), 1)
