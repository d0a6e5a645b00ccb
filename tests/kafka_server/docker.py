"""Apache Kafka in a container, where a Docker daemon answers."""

import os
import socket
from pathlib import Path

from tests.kafka_server.certificates import Certificates
from tests.kafka_server.jars import kafka_version
from tests.kafka_server.machine import NotToBeHad, Ports
from tests.kafka_server.properties import CLUSTER_ID, Credentials, scram_option, server_properties

_INSIDE = Path("/kafka-for-tests")
_START = (
    "/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id {cluster} --config {properties}"
    " --add-scram '{scram}' && exec /opt/kafka/bin/kafka-server-start.sh {properties}"
)


class DockerKafka:
    """One broker in a container; its data are the container's, which `kill` leaves in place."""

    def __init__(self, folder: Path, ports: Ports, credentials: Credentials, certificates: Certificates) -> None:
        answers()
        from testcontainers.core.container import DockerContainer

        inside = Certificates(*(_INSIDE / file.name for file in (
            certificates.ca, certificates.broker, certificates.client, certificates.client_key,
            certificates.stranger, certificates.stranger_key,
        )))  # fmt: skip
        properties = server_properties(ports, credentials, inside, Path("/tmp/kafka-data"), bind="0.0.0.0")  # noqa: S104 - in the container
        (folder / "server.properties").write_text(properties)
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)  # the image's user is not ours
        start = _START.format(
            cluster=CLUSTER_ID, properties=_INSIDE / "server.properties", scram=scram_option(credentials)
        )
        self._container = (
            DockerContainer(f"apache/kafka:{kafka_version()}")
            .with_volume_mapping(str(folder), str(_INSIDE), "ro")
            .with_env("KAFKA_HEAP_OPTS", "-Xmx256m")
            .with_kwargs(entrypoint=["/bin/sh", "-c", start])
        )
        for port in (ports.plaintext, ports.sasl_plaintext, ports.sasl_ssl, ports.ssl):
            self._container.with_bind_ports(port, ("127.0.0.1", port))  # type: ignore[arg-type]
        self._started = False

    def start(self) -> None:
        from docker.errors import DockerException  # type: ignore[import-untyped]

        if self._started:
            self._container.get_wrapped_container().start()
            return
        try:
            self._container.start()
        except DockerException as error:
            raise NotToBeHad(f"Docker does not run the image of Kafka: {error}") from None
        self._started = True

    def kill(self) -> None:
        container = self._container.get_wrapped_container()
        if container is not None:
            container.reload()
            if container.status == "running":
                container.kill()
                container.wait()

    def remove(self) -> None:
        self._container.stop(force=True, delete_volume=True)

    def log(self) -> str:
        return str(self._container.get_wrapped_container().logs(tail=40).decode(errors="replace"))


def answers() -> None:
    """Raises `NotToBeHad` where no daemon answers."""
    import docker  # type: ignore[import-untyped]
    from docker.errors import DockerException

    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:  # by hand: docker's client leaks a socket that was refused
            try:
                probe.connect(address.removeprefix("unix://"))
            except OSError as error:
                raise NotToBeHad(f"no Docker daemon answers at {address} ({error.strerror})") from None
    client = docker.from_env(timeout=5, version="1.41")
    try:
        client.ping()
    except (DockerException, OSError) as error:
        raise NotToBeHad(f"no Docker daemon answers at {address} ({type(error).__name__})") from None
    finally:
        client.close()
