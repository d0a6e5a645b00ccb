"""Which Kafka the tests get: the first that can be had of an address in the environment, Docker, Java."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.kafka_server.certificates import Certificates, make_certificates
from tests.kafka_server.docker import DockerKafka
from tests.kafka_server.jars import kafka_version
from tests.kafka_server.jvm import jvm_kafka
from tests.kafka_server.lookalikes import noida, tansu
from tests.kafka_server.machine import Machine, NotToBeHad, Ports
from tests.kafka_server.properties import Credentials
from tests.kafka_server.server import KafkaServer, Secured, free_ports

GIVEN = "KAFKA_BOOTSTRAP_SERVERS"
MachineOf = Callable[[Path, Ports, Credentials, Certificates], Machine]
CREDENTIALS = Credentials("worker", "correct-horse-battery")


@contextmanager
def kafka_server() -> Iterator[KafkaServer]:
    """A Kafka that answers, gone with its data when the block ends. Raises `NotToBeHad` with every reason."""
    if given := os.environ.get(GIVEN):
        server = KafkaServer(f"the Kafka of {GIVEN}", given, None, None, "cooperative-sticky")
        server.wait_until_it_answers()
        yield server
        return
    folder = Path(tempfile.mkdtemp(prefix="kafka-for-tests-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield _first_to_be_had(folder, stack)


def _first_to_be_had(folder: Path, stack: ExitStack) -> KafkaServer:
    reasons = []
    version = kafka_version()
    ways: dict[str, Callable[[Path], KafkaServer]] = {
        "docker": lambda own: _apache(f"Apache Kafka {version} in Docker", own, DockerKafka, stack),
        "jvm": lambda own: _apache(f"Apache Kafka {version} in Java", own, jvm_kafka, stack),
        "tansu": lambda own: _lookalike("Tansu", own, tansu, "cooperative-sticky", stack),
        "noida": lambda own: _lookalike("Noida", own, noida, "range", stack),
    }
    for name, begin in ways.items():
        own = folder / name
        own.mkdir()
        try:
            return begin(own)
        except NotToBeHad as reason:
            reasons.append(f"{name}: {reason}")
    raise NotToBeHad("no Kafka for tests: " + "; ".join(reasons))


def _apache(kind: str, folder: Path, machine_of: MachineOf, stack: ExitStack) -> KafkaServer:
    ports, certificates = free_ports(), make_certificates(folder)
    secured = Secured(
        sasl_plaintext=f"127.0.0.1:{ports.sasl_plaintext}",
        sasl_ssl=f"127.0.0.1:{ports.sasl_ssl}",
        ssl=f"127.0.0.1:{ports.ssl}",
        credentials=CREDENTIALS,
        certificates=certificates,
    )
    machine = machine_of(folder, ports, CREDENTIALS, certificates)
    server = _started(
        KafkaServer(kind, f"127.0.0.1:{ports.plaintext}", machine, secured, "cooperative-sticky"), machine, stack
    )
    server.ensure_groups()
    return server


def _lookalike(
    kind: str, folder: Path, machine_of: Callable[[Path, int], Machine], assignment: str, stack: ExitStack
) -> KafkaServer:
    port = free_ports().plaintext
    machine = machine_of(folder, port)
    # Tansu's data die with it, and part of Noida's: no test may kill them.
    server = KafkaServer(f"{kind}, since Apache Kafka can't be had,", f"127.0.0.1:{port}", None, None, assignment)
    return _started(server, machine, stack)


def _started(server: KafkaServer, machine: Machine, stack: ExitStack) -> KafkaServer:
    with ExitStack() as undo:
        undo.callback(machine.remove)
        machine.start()
        server.wait_until_it_answers()
        stack.push(undo.pop_all())
    return server
