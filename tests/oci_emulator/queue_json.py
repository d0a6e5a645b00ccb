"""The JSON of the Queue service: what it accepts, with its limits, and what it tells."""

from dataclasses import dataclass
from typing import Any

from tests.oci_emulator.queue_model import Count, Entry, QueueConfig, QueueModel, Stored
from tests.oci_emulator.wire import ServiceFault, checked_integer, timestamp

BATCH = 20
LARGEST_PUT_BYTES = 512 * 1024
LONGEST_VISIBILITY_S = 43_200
LONGEST_POLL_S = 30
CHANNEL_CHARS = 64


def invalid(message: str) -> ServiceFault:
    return ServiceFault(400, "InvalidParameter", message)


def not_found(message: str) -> ServiceFault:
    return ServiceFault(404, "NotAuthorizedOrNotFound", message)


def entries_of(details: dict[str, Any], name: str) -> list[Any]:
    """The list of a batch; raises `ServiceFault` 400."""
    entries = details.get(name)
    if not isinstance(entries, list) or not 1 <= len(entries) <= BATCH:
        raise invalid(f"{name} must be a list of 1 to {BATCH}")
    return entries


def config_of(details: dict[str, Any]) -> QueueConfig:
    """What CreateQueue asks for; raises `ServiceFault` 400."""

    def number(name: str, default: int, low: int, high: int) -> int:
        return checked_integer(name, details.get(name, default), low, high)

    return QueueConfig(
        retention_s=number("retentionInSeconds", 86_400, 10, 604_800),
        visibility_s=number("visibilityInSeconds", 30, 1, LONGEST_VISIBILITY_S),
        timeout_s=number("timeoutInSeconds", 30, 0, LONGEST_POLL_S),
        dead_letter_count=number("deadLetterQueueDeliveryCount", 0, 0, 20),
    )


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and what the service knows of it beside its messages. `created_at`: Unix seconds."""

    id: str
    name: str
    compartment: str
    created_at: float
    model: QueueModel

    def described(self, endpoint: str) -> dict[str, Any]:
        """As GetQueue tells it. `endpoint`: where its messages are."""
        config = self.model.config
        return {
            "id": self.id,
            "displayName": self.name,
            "compartmentId": self.compartment,
            "timeCreated": timestamp(self.created_at),
            "timeUpdated": timestamp(self.created_at),
            "lifecycleState": "ACTIVE",
            "messagesEndpoint": endpoint,
            "retentionInSeconds": int(config.retention_s),
            "visibilityInSeconds": config.visibility_s,
            "timeoutInSeconds": config.timeout_s,
            "deadLetterQueueDeliveryCount": config.dead_letter_count,
            "channelConsumptionLimit": 100,
            "capabilities": [],
            "freeformTags": {},
            "definedTags": {},
            "systemTags": {},
        }


def entry_of(entry: Any, max_bytes: int) -> Entry:
    """A checked entry of PutMessages; raises `ServiceFault` 400."""
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(content, str) or not content:
        raise invalid("content must be a string that is not empty")
    if len(content.encode()) > max_bytes:
        raise invalid(f"A message is larger than {max_bytes} bytes")
    metadata = entry.get("metadata")
    if metadata is None:
        return Entry(content)
    channel = metadata.get("channelId") if isinstance(metadata, dict) else None
    if not isinstance(channel, str) or not 1 <= len(channel) <= CHANNEL_CHARS:
        raise invalid(f"channelId must have 1 to {CHANNEL_CHARS} characters")
    properties = metadata.get("customProperties") or {}
    if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
        raise invalid("customProperties must be strings by name")
    return Entry(content, channel, properties)


def receipt_of(entry: Any) -> str:
    receipt = entry.get("receipt") if isinstance(entry, dict) else None
    if not isinstance(receipt, str):
        raise invalid("receipt must be a string")
    return receipt


def visibility_of(details: Any) -> int:
    return checked_integer("visibilityInSeconds", details.get("visibilityInSeconds"), 0, LONGEST_VISIBILITY_S)


def message_json(message: Stored) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": message.id,
        "content": message.content,
        "receipt": message.receipt,
        "deliveryCount": message.deliveries,
        "visibleAfter": timestamp(message.visible_at),
        "expireAfter": timestamp(message.expires_at),
        "createdAt": timestamp(message.created_at),
    }
    if message.channel is not None:
        told["metadata"] = {"channelId": message.channel, "customProperties": message.properties}
    return told


def count_json(count: Count) -> dict[str, int]:
    return {
        "visibleMessages": count.visible,
        "inFlightMessages": count.in_flight,
        "sizeInBytes": count.size_bytes,
    }
