"""The emulated Queue service as the real SDK sees it: what the adapter's tests stand on."""

from collections.abc import Iterator
from typing import Any

import pytest
from oci.exceptions import ServiceError
from oci.queue import QueueAdminClient, QueueClient
from oci.queue.models import (
    CreateQueueDetails,
    DeleteMessagesDetails,
    DeleteMessagesDetailsEntry,
    GetMessage,
    MessageMetadata,
    PurgeQueueDetails,
    PutMessagesDetails,
    PutMessagesDetailsEntry,
    UpdateMessageDetails,
    UpdateMessagesDetails,
    UpdateMessagesDetailsEntry,
)
from oci.retry import NoneRetryStrategy

from tests.oci_emulator.client import Emulator, emulator
from tests.oci_emulator.faults import FaultKind
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.oci_access.access import OciAccess
from transcriber_worker.settings import OciAuth, OciSettings


class Queue:
    """One queue by the SDK, without retries."""

    def __init__(self, client: QueueClient, id_: str) -> None:
        self.client = client
        self.id = id_
        client.retry_strategy = NoneRetryStrategy()

    def put(self, *contents: str, channel: str | None = None) -> list[int]:
        metadata = MessageMetadata(channel_id=channel, custom_properties={"k": "v"}) if channel else None
        entries = [PutMessagesDetailsEntry(content=content, metadata=metadata) for content in contents]
        answer = self.client.put_messages(self.id, PutMessagesDetails(messages=entries))
        return [message.id for message in answer.data.messages]

    def get(self, **options: Any) -> list[GetMessage]:
        return list(self.client.get_messages(self.id, **{"timeout_in_seconds": 0, **options}).data.messages)

    def stats(self, **options: Any) -> tuple[int, int, int]:
        """Visible, in flight, dead."""
        data = self.client.get_stats(self.id, **options).data
        return data.queue.visible_messages, data.queue.in_flight_messages, data.dlq.visible_messages


@pytest.fixture(scope="module")
def emu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("state")) as emu:
        yield emu


@pytest.fixture(scope="module")
def access(emu: Emulator, tmp_path_factory: pytest.TempPathFactory) -> OciAccess:
    config = emu.write_sdk_config(tmp_path_factory.mktemp("oci"))
    return OciAccess(OciSettings(auth=OciAuth.API_KEY, config_file=config), SystemClock())


@pytest.fixture
def admin(emu: Emulator, access: OciAccess) -> QueueAdminClient:
    return access.queue_admin(emu.url)


@pytest.fixture
def queue(emu: Emulator, access: OciAccess, request: pytest.FixtureRequest) -> Iterator[Queue]:
    yield Queue(access.queue(emu.url), emu.create_queue(request.node.name, dead_letter_count=2))
    emu.clear_faults()


def refused(error: pytest.ExceptionInfo[ServiceError]) -> tuple[int, str]:
    return error.value.status, error.value.code


def test_a_queue_is_created_and_described(emu: Emulator, admin: QueueAdminClient) -> None:
    details = CreateQueueDetails(
        display_name="made", compartment_id="ocid1.compartment.oc1..a", dead_letter_queue_delivery_count=7
    )
    created = admin.create_queue(details)
    (id_,) = [id_ for id_ in emu.dump()["queues"] if id_.endswith(".made")]

    described = admin.get_queue(id_)

    assert created.status == 202
    assert created.headers["opc-work-request-id"]
    assert described.headers["etag"]
    assert described.data.messages_endpoint == emu.url
    assert (described.data.dead_letter_queue_delivery_count, described.data.lifecycle_state) == (7, "ACTIVE")
    assert described.data.compartment_id == "ocid1.compartment.oc1..a"


def test_a_message_goes_round(queue: Queue) -> None:
    (id_,) = queue.put("Grüße", channel="tenant-a")

    (message,) = queue.get(visibility_in_seconds=60)

    assert (message.id, message.content, message.delivery_count) == (id_, "Grüße", 1)
    assert (message.metadata.channel_id, message.metadata.custom_properties) == ("tenant-a", {"k": "v"})
    assert (message.visible_after - message.created_at).total_seconds() == pytest.approx(60, abs=5)
    assert (message.expire_after - message.created_at).days == 1
    assert queue.stats() == (0, 1, 0)
    updated = queue.client.update_message(queue.id, message.receipt, UpdateMessageDetails(visibility_in_seconds=600))
    assert updated.data.visible_after > message.visible_after
    assert queue.client.delete_message(queue.id, message.receipt).status == 204
    assert queue.stats() == (0, 0, 0)


def test_a_peek_counts_as_a_delivery_and_hides_nothing(queue: Queue) -> None:
    queue.put("1")

    assert [queue.get(visibility_in_seconds=0)[0].delivery_count for _ in range(2)] == [1, 2]
    assert queue.stats() == (0, 0, 1), "and two are this queue's limit"


def test_channels_one_answer_is_of_one(queue: Queue) -> None:
    queue.put("1", "2")
    for n in range(12):
        queue.put("3", channel=f"c{n:02d}")

    first = queue.client.list_channels(queue.id)
    second = queue.client.list_channels(queue.id, page=first.next_page)
    drained = [queue.get(limit=20) for _ in range(13)]

    assert [*first.data.items, *second.data.items] == [f"c{n:02d}" for n in range(12)]
    assert second.next_page is None
    assert sorted(len(messages) for messages in drained) == [1] * 12 + [2]
    assert queue.get() == []
    assert queue.stats(channel_id="c03") == (0, 1, 0)


@pytest.mark.parametrize("kind", ["NORMAL", "DLQ", "BOTH"])
def test_purging(emu: Emulator, admin: QueueAdminClient, queue: Queue, kind: str) -> None:
    queue.put("dead")
    for _ in range(2):
        queue.get(visibility_in_seconds=0)
    queue.put("1", "2")

    assert admin.purge_queue(queue.id, PurgeQueueDetails(purge_type=kind)).status == 202

    assert queue.stats() == {"NORMAL": (0, 0, 1), "DLQ": (2, 0, 0), "BOTH": (0, 0, 0)}[kind]


def test_batches_answer_200_whatever_becomes_of_their_entries(emu: Emulator, queue: Queue) -> None:
    queue.put("1", "2", "3")
    receipts = [message.receipt for message in queue.get(limit=3)]
    emu.fault(FaultKind.ENTRY_FAILURE, "DeleteMessages", skip=1, status=500)

    deleted = queue.client.delete_messages(
        queue.id,
        DeleteMessagesDetails(entries=[DeleteMessagesDetailsEntry(receipt=it) for it in (*receipts[:2], "nonsense")]),
    ).data
    updated = queue.client.update_messages(
        queue.id,
        UpdateMessagesDetails(
            entries=[UpdateMessagesDetailsEntry(receipt=it, visibility_in_seconds=0) for it in receipts]
        ),
    ).data

    assert (deleted.server_failures, deleted.client_failures) == (1, 1)
    assert [entry.error_code for entry in deleted.entries] == [None, 500, 400]
    assert [entry.error_code for entry in updated.entries] == [404, None, None]
    assert [entry.id is not None for entry in updated.entries] == [False, True, True]
    assert queue.stats() == (2, 0, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 21},
        {"limit": 0},
        {"timeout_in_seconds": 31},
        {"visibility_in_seconds": 43_201},
        {"visibility_in_seconds": -1},
    ],
)
def test_limits_of_a_poll(queue: Queue, options: dict[str, int]) -> None:
    with pytest.raises(ServiceError) as error:
        queue.get(**options)

    assert refused(error) == (400, "InvalidParameter")


def test_limits_of_a_publication(queue: Queue) -> None:
    too_much: list[list[str]] = [[], ["x"] * 21, ["x" * (128 * 1024 + 1)], ["x" * 120_000] * 5, [""]]
    for contents in too_much:
        with pytest.raises(ServiceError) as error:
            queue.put(*contents)
        assert refused(error) == (400, "InvalidParameter")
    with pytest.raises(ServiceError):
        queue.put("1", channel="x" * 65)

    assert len(queue.put(*["x" * 25_000] * 20)) == 20


def test_an_unknown_queue_is_not_told_from_a_forbidden_one(access: OciAccess, emu: Emulator) -> None:
    with pytest.raises(ServiceError) as error:
        Queue(access.queue(emu.url), "ocid1.queue.oc1..nowhere").get()

    assert refused(error) == (404, "NotAuthorizedOrNotFound")


def test_messages_and_receipts_outlive_a_kill_of_the_service(emu: Emulator, queue: Queue) -> None:
    queue.put("1", "2", channel="a")
    queue.put("3")
    held = [*queue.get(limit=2), *queue.get(limit=2)]
    queue.client.delete_message(queue.id, held[0].receipt)
    queue.client.update_message(queue.id, held[1].receipt, UpdateMessageDetails(visibility_in_seconds=0))
    before = emu.dump()["queues"]

    emu.kill()
    emu.restart()

    assert emu.dump()["queues"] == before
    queue.client.update_message(queue.id, held[2].receipt, UpdateMessageDetails(visibility_in_seconds=60))
    assert queue.stats() == (1, 1, 0)
