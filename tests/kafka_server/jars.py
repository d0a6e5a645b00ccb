"""The broker's jars: fetched from Maven Central once, kept in `.kafka/` beside the project."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kafka_server.machine import NotToBeHad

POM = Path(__file__).with_name("pom.xml")
KEPT = Path(__file__).parents[2] / ".kafka"
_COPY = "dependency:copy-dependencies"
_FETCH_S = 240.0
"""Less than the tests' own timeout, which would end the whole run's fixture instead of skipping for a reason."""


def kafka_version() -> str:
    """The version to run: `KAFKA_VERSION` of the environment, or the pinned one."""
    found = re.search(r"<kafka.version>(.+)</kafka.version>", POM.read_text())
    assert found is not None
    return os.environ.get("KAFKA_VERSION") or found[1]


def java() -> str:
    """The Java that runs the broker; raises `NotToBeHad`."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise NotToBeHad("no Java (17 or later) on the path")
    return found


def jars() -> Path:
    """The folder of jars; fetched unless they are there. Raises `NotToBeHad` with Maven's last words."""
    folder = KEPT / kafka_version()
    with locked():
        if not folder.is_dir():
            _fetch(folder)
    return folder


@contextmanager
def locked() -> Iterator[None]:
    """Of several test runs at once, one fetches."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NotToBeHad("neither Kafka's jars nor Maven (mvn), which fetches them, are here")
    arriving = folder.with_name(folder.name + ".arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    command = [maven, "--batch-mode", "--quiet", "--strict-checksums", f"--file={POM}"]
    try:
        done = subprocess.run(
            [*command, f"-Dkafka.version={folder.name}", f"-DoutputDirectory={arriving}", _COPY],
            capture_output=True, text=True, timeout=_FETCH_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"Kafka's jars were not here within {_FETCH_S:g} s") from None
    if done.returncode:
        raise NotToBeHad(f"Maven could not fetch Kafka's jars: {(done.stdout + done.stderr).strip()[:500]}")
    arriving.rename(folder)
