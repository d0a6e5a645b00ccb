"""The images, really built by scripts/build-image.sh: with buildah, on a base that debootstrap makes."""

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
KEPT = PROJECT / ".tools" / "image"
REPOSITORY = "localhost/transcriber-worker-test"
_PROGRAMS = ("buildah", "podman", "runc", "debootstrap")
_SUITE = "bookworm"
_PASSED_TO_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
_BUILD_S = 900
# Runs as root without systemd; runc, because crun takes no hybrid cgroups.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


class NotToBeHad(Exception):
    """Why no image can be built on this machine."""


@dataclass(frozen=True, slots=True)
class Image:
    """One that was built."""

    name: str
    base: str

    def inspect(self) -> dict[str, Any]:
        """Its configuration."""
        (found,) = json.loads(podman("image", "inspect", self.name))
        return dict(found)


def environment() -> dict[str, str]:
    """What podman and buildah run with."""
    conf = KEPT / "containers.conf"
    if not conf.is_file() or conf.read_text() != _CONTAINERS_CONF:
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text(_CONTAINERS_CONF)
    return {**os.environ, "CONTAINERS_CONF": str(conf)}


def podman(*arguments: str | Path, within_s: float = 120.0) -> str:
    """Run podman; returns what it printed. Fails with what it complained of."""
    return _done("podman", *map(str, arguments), within_s=within_s)


def tried(*command: str, within_s: float = 120.0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, with podman's environment and `more` of it."""
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def base() -> str:
    """What images are built on here: IMAGE_TEST_BASE names one that is there. Raises `NotToBeHad`."""
    return os.environ.get("IMAGE_TEST_BASE") or distribution(_SUITE)


def distribution(suite: str) -> str:
    """The smallest Debian, made once. Without a Python, like the default base: the Dockerfile installs the
    distribution's. Raises `NotToBeHad`."""
    made = f"localhost/transcriber-worker-base:{suite}"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0 or platform.system() != "Linux":
        raise NotToBeHad("images are built as root on Linux")
    if missing:
        raise NotToBeHad(f"not installed: {', '.join(missing)}")
    if tried("podman", "image", "exists", made).returncode:
        _make(suite, made)
    ran = tried("podman", "run", "--rm", "--network=host", made, "true")
    if ran.returncode:
        raise NotToBeHad(f"no container runs here: {(ran.stderr.strip().splitlines() or ['podman failed'])[-1]}")
    return made


def _make(suite: str, name: str) -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        unpacked = tried("debootstrap", "--variant=minbase", suite, folder, within_s=_BUILD_S)
        if unpacked.returncode:
            raise NotToBeHad(f"debootstrap: {(unpacked.stdout + unpacked.stderr).strip().splitlines()[-1]}")
        for folder_of_no_use in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(Path(folder, folder_of_no_use))
            Path(folder, folder_of_no_use).mkdir()
        archive = f"tar -C {shlex.quote(folder)} -c . | podman import - {name}"
        _done("bash", "-o", "pipefail", "-c", archive, within_s=_BUILD_S)


def build(target: str, on: str, *options: str, project: Path = PROJECT, within_s: float = _BUILD_S) -> Image:
    """Build a target; a second time it takes seconds. `options`: further ones of the builder."""
    with TemporaryDirectory() as folder:
        shared = ["--isolation", "chroot", "--network", "host", *_package_index(Path(folder))]
        bases = ["--build-arg", f"BASE_IMAGE={on}", "--build-arg", f"EXPORTER_BASE_IMAGE={on}"]
        built_from = " ".join((on, str(project), *options))
        name = f"{REPOSITORY}:{target}-{hashlib.sha256(built_from.encode()).hexdigest()[:8]}"
        script = project / "scripts" / "build-image.sh"
        command = [str(script), target, *shared, *bases, "--tag", name, *options]
        _done(*command, within_s=within_s, BUILDER="buildah", REPOSITORY=REPOSITORY)
    return Image(name, on)


def _package_index(folder: Path) -> list[str]:
    """Let pip in the build know what pip on this machine knows: its index, its certificates. Nothing of it is kept."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    known = {
        line.partition("=")[0].rpartition(".")[2]: line.partition("=")[2].strip("'\"") for line in listed.splitlines()
    }
    lines = [f"{name} = {known[name]}" for name in _PASSED_TO_PIP if name in known]
    options = []
    certificates = known.get("cert") or os.environ.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        (folder / "ca").mkdir()
        shutil.copy(certificates, folder / "ca" / "ca.crt")
        lines.append("cert = /mnt/ca.crt")
        options += ["--volume", f"{folder / 'ca'}:/mnt:ro"]  # a folder that every base has: nothing new is left behind
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return [*options, "--secret", f"id=pip,src={folder / 'pip.conf'}"]


def _done(*command: str, within_s: float, **more: str) -> str:
    done = tried(*command, within_s=within_s, **more)
    said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}\n{said}"
    return done.stdout
