#!/usr/bin/env python3
"""Fetch the schemas that the chart's custom resources and compose.yaml are validated against into .tools/, once, and
print where they are as JSON:

    {"crds": "/path", "missing": {"crds": "why they can't be had"}}

Below the path is a folder for each release, such as keda-2.17.2, with one file for each kind. They come out of the
projects' own Go modules, pinned by the modules' hashes, so Go must be there; CRDS of the environment names another
folder.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / ".tools"
_FETCH_S = 240


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a project, as a Go module."""

    name: str
    module: str
    hash: str
    """The module's, as in a go.sum."""
    folder: str
    """Of its definitions."""
    kept: tuple[str, ...]


_KEDA = ("keda.sh_scaledjobs.yaml", "keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml")
_OPERATOR = ("monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml")
_OF_KEDA, _OF_OPERATOR = "config/crd/bases", "example/prometheus-operator-crd"
RELEASES = (
    # The oldest that the chart's README promises, and the newest there is.
    Release(
        "keda-2.17.2",
        "github.com/kedacore/keda/v2@v2.17.2",
        "h1:xlrcK5TKABJF9PebK79sgL07s/csGjL3H4m72OkZXxk=",
        _OF_KEDA,
        _KEDA,
    ),
    Release(
        "keda-2.21.0",
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        _OF_KEDA,
        _KEDA,
    ),
    Release(
        "prometheus-operator-0.80.1",
        "github.com/prometheus-operator/prometheus-operator@v0.80.1",
        "h1:jeqy9C8ku5coMThZh/cVrB5FwJHlV98jvnSeVnQKCQw=",
        _OF_OPERATOR,
        _OPERATOR,
    ),
    Release(
        "prometheus-operator-0.93.0",
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "h1:AohlYJT+En8TmNpAcEUJ3GsaJTAqfEBwHmGTVpRm/Io=",
        _OF_OPERATOR,
        _OPERATOR,
    ),
    # What compose.yaml is validated against.
    Release(
        "compose-spec-2.16.2",
        "github.com/compose-spec/compose-go/v2@v2.16.2",
        "h1:pTp1DqQwJzFd85GzlWsSszKA1ABrV/ySqsClujIcWA8=",
        "schema",
        ("compose-spec.json",),
    ),
)


class NotToBeHad(Exception):
    """Why they can't be had on this machine."""


def crds() -> Path:
    """Fetched unless they are there; whoever sees the folder sees it complete."""
    pins = hashlib.sha256(repr([astuple(release) for release in RELEASES]).encode()).hexdigest()
    kept = KEPT / f"crds-{pins[:12]}"
    if kept.is_dir():
        return kept
    if shutil.which("go") is None:
        raise NotToBeHad("Go, which fetches the modules they come in, is not on the path")
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT, prefix=".arriving-") as parent:
        arriving = Path(parent) / kept.name
        for release in RELEASES:
            source = _module(release, Path(parent)) / release.folder
            (arriving / release.name).mkdir(parents=True)
            for name in release.kept:
                shutil.copyfile(source / name, arriving / release.name / name)
        try:
            arriving.rename(kept)
        except OSError:
            if not kept.is_dir():  # else another run was first
                raise
    return kept


def _module(release: Release, folder: Path) -> Path:
    """A module's files, in a cache of its own that goes with the folder. The pinned hash alone vouches for them."""
    environment = {**os.environ, "GOMODCACHE": str(folder / "modules"), "GOFLAGS": "-modcacherw", "GOSUMDB": "off"}
    command = ["go", "mod", "download", "-json", release.module]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=_FETCH_S
        )
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"{release.module} took longer than {_FETCH_S} s") from None
    told = json.loads(done.stdout or "{}")
    if done.returncode:
        raise NotToBeHad(told.get("Error") or (done.stderr.strip().splitlines() or ["go failed"])[-1])
    if told["Sum"] != release.hash:
        raise NotToBeHad(f"{release.module} has the hash {told['Sum']}, not the pinned one")
    return Path(told["Dir"])


def main() -> None:
    try:
        found = {"crds": os.environ.get("CRDS") or str(crds())}
    except (NotToBeHad, OSError) as error:
        print(json.dumps({"missing": {"crds": str(error)}}))
    else:
        print(json.dumps({**found, "missing": {}}))


if __name__ == "__main__":
    main()
