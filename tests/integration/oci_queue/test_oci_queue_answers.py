"""What the OCI Queue adapter makes of strange answers, of endpoints and results, and of long polls in real time."""

import threading
from collections.abc import Iterator

import pytest

from tests.chaos.processes import until
from tests.contract.broker_contract import take, take_nothing
from tests.oci_emulator.faults import FaultKind
from tests.oci_queues import OciQueueHarness
from transcriber_worker.brokers.base import Backlog, Broker, Delivery
from transcriber_worker.brokers.oci_queue_backlog import OciQueueBacklog
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason, RejectJob
from transcriber_worker.oci_access.access import OciAccess


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

    def test_a_worker_that_may_not_publish_is_told_so(self, harness: OciQueueHarness, worker: Broker) -> None:
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

        with pytest.raises(EnvironmentDown, match="is `use queue-push` allowed"):
            worker.publish(b"body", {})

    def test_results_go_to_the_channel_that_was_asked_for(self, harness: OciQueueHarness, worker: Broker) -> None:
        harness.emu.clear_requests()
        worker.announce("1", b'{"id": "1"}', "tenant-a")
        worker.announce("2", b'{"id": "2"}', None)
        worker.announce("3", b'{"id": "3"}', "x" * 65)
        worker.announce("4", b'{"id": "4"}', "")

        assert [it["channel"] for it in harness.stored(harness.results_id)] == ["tenant-a", None, None, None]
        assert harness.emu.counts()["PutMessages"] == 4, "none was sent to be refused"

    def test_a_channel_that_is_refused_does_not_stop_the_result(self, harness: OciQueueHarness, worker: Broker) -> None:
        """A queue has room for 256 channels, and reply_to is the publisher's."""
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", status=400, code="InvalidParameter")

        worker.announce("1", b'{"id": "1"}', "one-too-many")

        assert [it["channel"] for it in harness.stored(harness.results_id)] == [None]

    def test_results_that_may_not_be_published_are_an_outage(self, harness: OciQueueHarness, worker: Broker) -> None:
        """No job may end unannounced."""
        harness.emu.fault(FaultKind.ANSWER, "PutMessages", times=None, status=404, code="NotAuthorizedOrNotFound")

        with pytest.raises(EnvironmentDown, match=r"result event .*is `use queue-push` allowed"):
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

        until(lambda: bool(polled), "the poll brings the message, not its end", within_s=15)

        assert harness.emu.counts()["GetMessages"] == 1

    def test_a_lease_that_ends_by_virtual_time_ends_the_wait(self, harness: OciQueueHarness) -> None:
        worker = harness.connect(endpoint=harness.emu.url)
        worker.publish(b"body", {})
        take(harness, worker, 1)
        found: list[Delivery] = []
        thread = threading.Thread(target=lambda: found.extend(harness.connect().receive(1, 20.0)))
        thread.start()

        harness.pass_time(harness.lease_s + 1)

        until(lambda: bool(found), "the poll brings the message, not its end", within_s=15)
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
