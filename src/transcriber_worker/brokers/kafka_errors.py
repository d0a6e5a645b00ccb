"""Kafka's errors: which of them are about a topic, about a message's size, about us; and what to check."""

import re
from collections.abc import Mapping

from confluent_kafka import KafkaError

from transcriber_worker.domain.errors import EnvironmentDown, PauseReason

_TOPIC_REFUSED = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
    }
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
WHO_WE_ARE = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.ILLEGAL_SASL_STATE}
)
_REFUSED: Mapping[int, str] = {
    KafkaError._SSL: "TLS with the Kafka brokers failed: check broker.kafka.security_protocol, ca_file,"
    " certificate_file and key_file",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "the Kafka brokers do not know the mechanism: check"
    " broker.kafka.sasl_mechanism",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user may not join the consumer group: check its permissions and"
    " broker.kafka.group",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not use the topic: check its permissions and"
    " broker.kafka.topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user may not use the Kafka cluster: check its permissions",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "other workers of the group share out partitions in another way: check"
    " broker.kafka.assignment, the same for all",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic: check broker.kafka.topic",
    KafkaError.TOPIC_EXCEPTION: "no topic can have this name: check broker.kafka.topic",
    KafkaError.INVALID_SESSION_TIMEOUT: "the Kafka brokers do not allow it: check broker.kafka.session_timeout_s",
}
"""What does not pass by waiting, and what to check."""
_TLS_ALERT = re.compile(r"SSL routines:.* alert ")
"""In the text of an error that OpenSSL has made of the other side's word."""
_NOT_ABOUT_US = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_SESSION_TIMEOUT,
    }
)


class TopicRefused(EnvironmentDown):
    """There is no such topic, or we may not use it."""


class MessageTooLarge(EnvironmentDown):
    """The topic takes no message of this size."""


def publication_failed(topic: str, setting: str, error: KafkaError, size_bytes: int) -> EnvironmentDown:
    """Why a message could not be published to `topic`, which `setting` names."""
    if error.code() in _TOPIC_REFUSED:
        return TopicRefused(f"topic {topic!r} can't be written ({error.name()}): check {setting}", PauseReason.BROKER)
    if error.code() in _TOO_LARGE:
        text = f"topic {topic!r} takes no message of {size_bytes} bytes: raise its max.message.bytes"
        return MessageTooLarge(text, PauseReason.BROKER)
    text = f"Kafka did not confirm a publication to {topic!r} ({error.name()}): check broker.kafka.bootstrap_servers"
    return EnvironmentDown(text, PauseReason.BROKER)


def unreachable(error: KafkaError | None = None) -> EnvironmentDown:
    """Nobody answers."""
    why = f" ({error.name()})" if error is not None else ""
    text = f"no Kafka broker can be reached{why}: check broker.kafka.bootstrap_servers and the network"
    return EnvironmentDown(text, PauseReason.BROKER)


def refused(error: KafkaError) -> EnvironmentDown | None:
    """What does not pass by waiting; None for what may."""
    code = error.code()
    if code == KafkaError._TRANSPORT and _TLS_ALERT.search(error.str()):
        code = KafkaError._SSL  # with TLS 1.3 a certificate is refused only after the handshake
    text = _REFUSED.get(code)
    if text is None:
        return None
    return EnvironmentDown(text, PauseReason.BROKER if code in _NOT_ABOUT_US else PauseReason.CREDENTIALS)
