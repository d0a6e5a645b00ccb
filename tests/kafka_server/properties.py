"""What the broker is told: one node, quick to start, with a listener for each way of connecting."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kafka_server.certificates import Certificates
from tests.kafka_server.machine import Ports

CLUSTER_ID = "dHJhbnNjcmliZXItdGVzdA"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One user, known to PLAIN and to SCRAM-SHA-512 alike."""

    username: str
    password: str


def server_properties(
    ports: Ports, credentials: Credentials, certificates: Certificates, data: Path, bind: str = "127.0.0.1"
) -> str:
    """The text of server.properties. Paths are as the broker sees them; `bind`: where it listens."""
    listeners = {
        "PLAINTEXT": ports.plaintext,
        "SASL_PLAINTEXT": ports.sasl_plaintext,
        "SASL_SSL": ports.sasl_ssl,
        "SSL": ports.ssl,
    }
    protocols = ",".join(f"{name}:{name}" for name in listeners)
    fields: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://{bind}:{port}" for name, port in listeners.items())
        + f",CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        **_QUICK,
        **_security(credentials, certificates),
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items())


_QUICK: Mapping[str, object] = {
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    # A killed broker is let in again only when its former self counts as gone.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # Files are allocated in full; every test has topics of its own.
    "log.segment.bytes": 16 << 20,
    "log.index.size.max.bytes": 64 << 10,
    # A kill must find what was acknowledged: the page cache survives a killed process, so nothing need be flushed.
    "log.retention.check.interval.ms": 1000,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
}


def _security(credentials: Credentials, certificates: Certificates) -> dict[str, object]:
    # The first user is the broker's own name as a client, which PLAIN's module asks for; the second may log in.
    plain = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'user_{credentials.username}="{credentials.password}";'
    )
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    fields: dict[str, object] = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates.broker,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates.ca,
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for listener in ("sasl_plaintext", "sasl_ssl"):
        prefix = f"listener.name.{listener}"
        fields[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-512"
        fields[f"{prefix}.plain.sasl.jaas.config"] = plain
        fields[f"{prefix}.scram-sha-512.sasl.jaas.config"] = scram
    return fields


def scram_option(credentials: Credentials) -> str:
    """The user for SCRAM, as the storage tool takes it."""
    return f"SCRAM-SHA-512=[name={credentials.username},password={credentials.password}]"
