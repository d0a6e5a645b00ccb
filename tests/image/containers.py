"""Containers as the chart and compose.yaml run them: nothing writable but what is mounted, no privilege."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.image.building import KEPT, PROJECT, Image, environment, podman, tried

USER = 10_001
CONFIG = "/etc/transcriber/config/config.yaml"
RECORDINGS = PROJECT / "demo" / "recordings"
_PROFILE = Path("/usr/share/containers/seccomp.json")


def hardening(network: str = "host") -> list[str]:
    """Options of `podman run`. Podman lets any process have a network namespace of its own; the profiles of Docker and
    containerd do not, nor does this one."""
    profile = json.loads(_PROFILE.read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in ("unshare", "setns")]
    strict = KEPT / "seccomp.json"
    strict.write_text(json.dumps(profile))
    return [
        f"--network={network}", "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--shm-size=64m",
        "--cap-drop=all", "--security-opt=no-new-privileges", f"--security-opt=seccomp={strict}",
    ]  # fmt: skip


def volumes(folder: Path) -> list[str]:
    """A box's volumes below a folder, named as in the image's own settings."""
    return [f"--volume={owned(folder / name)}:/{name}" for name in ("data", "scratch")]


def owned(folder: Path) -> Path:
    """A folder of the image's user, in a place that others may pass through."""
    folder.mkdir(parents=True, exist_ok=True)
    for above in (folder, *folder.parents[:3]):
        if above.stat().st_uid == 0 and "pytest" in str(above):
            above.chmod(above.stat().st_mode | 0o011)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)
    return folder


def call(
    image: Image, *arguments: str, options: Sequence[str] = (), network: str = "host", within_s: float = 240.0
) -> str:
    """Run a container to its end; returns its standard output."""
    return podman("run", "--rm", *hardening(network), *options, image.name, *arguments, within_s=within_s)


def python(image: Image, program: str, *, options: Sequence[str] = ()) -> Any:
    """What a program prints as JSON, run by the image's own Python."""
    return json.loads(call(image, "-c", program, options=["--entrypoint", "python", *options]))


class Container:
    """One that runs by itself."""

    def __init__(self, image: Image, arguments: Sequence[str], options: Sequence[str]) -> None:
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        podman("run", "--detach", "--name", self.name, *hardening(), *options, image.name, *arguments)

    def state(self) -> Mapping[str, Any]:
        (found,) = json.loads(podman("container", "inspect", self.name))
        return dict(found["State"])

    def log(self) -> list[dict[str, Any]]:
        """The events so far."""
        done = tried("podman", "logs", self.name)
        return [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]

    def healthy(self) -> bool:
        """What its own HEALTHCHECK says, asked once."""
        return tried("podman", "healthcheck", "run", self.name).returncode == 0

    def stop(self, grace_s: int) -> int:
        """As `docker stop`: the image's stop signal, SIGKILL after the grace; returns the exit code."""
        podman("stop", "--time", str(grace_s), self.name, within_s=grace_s + 60)
        return int(self.state()["ExitCode"])


@contextmanager
def running(image: Image, *arguments: str, options: Sequence[str] = ()) -> Iterator[Container]:
    """A container that is gone when the block ends."""
    container = Container(image, arguments, options)
    try:
        yield container
    finally:
        podman("rm", "--force", "--time", "0", container.name)


class Attached:
    """A container as a process of this machine: a `tests.chaos.processes.OsProcess`."""

    def __init__(self, command: Sequence[str], name: str, output: int) -> None:
        self._name = name
        self._process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The container's exit code: 137 after SIGKILL."""
        return self._process.wait(timeout)

    def send_signal(self, sig: int) -> None:
        """To the container, not to the program that shows it."""
        podman("kill", "--signal", signal.Signals(sig).name, self._name)


class Launcher:
    """Workers in containers of their own, whose places lie below `folder` by the same names as here."""

    def __init__(self, image: Image, folder: Path) -> None:
        self._image = image
        self._folder = folder

    def __call__(self, arguments: list[str], environment: Mapping[str, str], output: int) -> Attached:
        """The image's worker takes a configuration, and none of the plans that the tests' own worker knows."""
        owned(self._folder)
        name = f"test-{uuid.uuid4().hex[:12]}"
        mounts = ["--volume", f"{self._folder}:{self._folder}", "--volume", f"{PROJECT / '.models'}:/models:ro"]
        command = ["podman", "run", "--rm", "--name", name, *hardening(), *mounts, self._image.name]
        return Attached([*command, "run", "--config", arguments[0]], name, output)
