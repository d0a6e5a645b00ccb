"""Apache Kafka in a Java process of this machine."""

import subprocess
from pathlib import Path

from tests.kafka_server.certificates import Certificates
from tests.kafka_server.jars import jars, java
from tests.kafka_server.machine import NotToBeHad, Ports
from tests.kafka_server.process import GuardedProcess
from tests.kafka_server.properties import CLUSTER_ID, Credentials, scram_option, server_properties

# Quick to start and small rather than fast: tests send few messages.
_JAVA_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                 "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")  # fmt: skip


def jvm_kafka(folder: Path, ports: Ports, credentials: Credentials, certificates: Certificates) -> GuardedProcess:
    """A broker below `folder`, formatted, to be started; its data survive a kill. Raises `NotToBeHad`."""
    properties = folder / "server.properties"
    properties.write_text(server_properties(ports, credentials, certificates, folder / "data"))
    command = [java(), *_JAVA_OPTIONS, "-cp", f"{jars()}/*"]
    format_ = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", str(properties)]
    done = subprocess.run(
        [*command, *format_, "--add-scram", scram_option(credentials)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotToBeHad(f"Kafka's storage could not be made (Java too old?): {done.stderr.strip()[-500:]}")
    return GuardedProcess([*command, "kafka.Kafka", str(properties)], folder / "broker.log")
