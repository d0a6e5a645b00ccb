"""Where requests come from and results go."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from transcriber_worker.settings.section import SecretReference, Section


class BrokerKind(StrEnum):
    DIRECTORY = "directory"
    KAFKA = "kafka"
    OCI_QUEUE = "oci_queue"


class DirectoryBrokerSettings(Section):
    path: Path = Field(
        Path("spool"),
        description="The spool: inbox/, results/, dead/ and the lease folders. Several workers of one machine may share it.",
    )
    lease_s: float = Field(
        60.0,
        gt=0,
        le=43_200,
        description="How long a message stays with a worker that shows no sign of life. Shorter: a killed worker's jobs come back sooner.",
    )
    settle_s: float = Field(
        2.0,
        ge=0,
        le=600,
        description="A file dropped into the inbox counts as complete when it was not written to for this long.",
    )
    poll_s: float = Field(0.03, gt=0, le=60, description="How often an empty inbox is looked at.")
    results: bool = Field(True, description="Write result events as files under results/.")


_OWNED = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "message.timeout.ms",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "request.required.acks",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "session.timeout.ms",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "transactional.id",
    }
)
"""Properties that are not the user's to set, by all their names: they have settings of their own, or delivery depends
on them."""


class KafkaBrokerSettings(Section):
    """Apache Kafka, OCI Streaming's Kafka endpoint, and OCI Streaming with Apache Kafka."""

    bootstrap_servers: str = Field("", description="host:port of one or more brokers, separated by commas.")
    topic: str = Field("", description="Topic of requests; for OCI Streaming the stream's name.")
    group: str = Field("transcriber-worker", min_length=1, description="Consumer group that the workers share.")
    results_topic: str | None = Field(
        None, description="Topic of result events, keyed by job. Default: the topic's name and `-results`."
    )
    dead_letter_topic: str | None = Field(
        None,
        description="Topic of dead letters, keyed by job. Default: the topic's name and `-dead-letters`. Its retention is how long a letter is kept.",
    )
    reply_topics: tuple[str, ...] = Field(
        (), description="Topics that a request's reply_to may name instead of results_topic; others are ignored."
    )
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="OCI Streaming: sasl_ssl. Managed Apache Kafka: sasl_ssl, or ssl with a certificate."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="OCI Streaming: PLAIN. Managed Apache Kafka: SCRAM-SHA-512."
    )
    username: str | None = Field(
        None,
        description="OCI Streaming: tenancy/user/stream pool OCID, with an identity domain tenancy/domain/user/stream pool OCID; names, but for the pool.",
    )
    password: SecretReference | None = Field(
        None, description="Where the password is: env:NAME or file:/path. OCI Streaming: an auth token of the user."
    )
    ca_file: Path | None = Field(None, description="CA certificates. Default: the ones that Python's certifi brings.")
    certificate_file: Path | None = Field(None, description="mTLS: the client's certificate, PEM.")
    key_file: Path | None = Field(None, description="mTLS: its private key, PEM.")
    key_password: SecretReference | None = Field(None, description="mTLS: the key's password: env:NAME or file:/path.")
    assignment: Literal["cooperative-sticky", "range"] = Field(
        "cooperative-sticky",
        description="How partitions are shared out; the same for the whole group. range where the service does not know the other.",
    )
    group_instance_id: str | None = Field(
        None, min_length=1, description="Static membership: a name that this worker keeps over restarts."
    )
    session_timeout_s: float = Field(
        45.0, ge=1, le=1800, description="A worker that was silent for this long loses its partitions."
    )
    max_poll_interval_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="A worker whose poll thread hangs for this long loses them too. Jobs may take longer.",
    )
    max_buffered: int = Field(
        64, ge=1, le=10_000, description="Messages fetched ahead of the jobs; then the partitions are paused."
    )
    max_uncommitted_span: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How far behind a long job the same partition's later jobs may run ahead, in messages.",
    )
    hold_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="A message to be tried again later than this is published anew instead of held.",
    )
    request_timeout_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="How long a publication may take to be confirmed before the broker counts as down.",
    )
    options: dict[str, str] = Field(
        {},
        description="Further librdkafka properties, such as client.rack; those set by the worker itself are refused.",
    )

    @field_validator("options")
    @classmethod
    def _not_owned(cls, options: dict[str, str]) -> dict[str, str]:
        if taken := sorted(_OWNED & options.keys()):
            raise ValueError(f"{', '.join(taken)} is set by the worker itself: remove it")
        return options


class OciQueueBrokerSettings(Section):
    queue_id: str = Field("", description="OCID of the queue of requests.")
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/]+(/.*)?$",
        description="The queue's messages endpoint. Default: asked of the service, which needs permission to read the queue.",
    )
    admin_endpoint: str | None = Field(
        None, pattern=r"^https?://[^/]+(/.*)?$", description="Where the service is asked. Default: the region's."
    )
    results_queue_id: str | None = Field(
        None, description="OCID of the queue of result events. Default: none; status and transcripts tell."
    )
    results_endpoint: str | None = Field(
        None, pattern=r"^https?://[^/]+(/.*)?$", description="Its messages endpoint. Default: as for endpoint."
    )
    channel: str | None = Field(
        None, min_length=1, max_length=64, description="Only messages of this channel are taken. Default: of any."
    )
    lease_s: float = Field(
        60.0,
        ge=5,
        le=43_200,
        description="How long a message stays invisible to others when its worker shows no sign of life; renewed at a third.",
    )
    max_deliveries: int | None = Field(
        None,
        ge=1,
        description="The queue's dead-letter delivery count, beyond which the service takes a message away. Default: asked of the service; a message that comes near it is published anew.",
    )


class BrokerSettings(Section):
    kind: BrokerKind = Field(BrokerKind.DIRECTORY, description="Where requests come from.")
    directory: DirectoryBrokerSettings = DirectoryBrokerSettings()
    kafka: KafkaBrokerSettings = KafkaBrokerSettings()
    oci_queue: OciQueueBrokerSettings = OciQueueBrokerSettings()
