"""What pip installed in an image, and what the lock says."""

import re
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

from tests.image.building import PROJECT, Image
from tests.image.containers import python

_INSTALLED = """
import importlib.metadata as m, json, platform
print(json.dumps({
    "python": platform.python_version(),
    "installed": {d.metadata["Name"]: d.version for d in m.distributions()},
    "required": {d.metadata["Name"]: d.requires or [] for d in m.distributions()},
}))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """By an image's own Python."""

    python_version: str
    versions: dict[str, str]
    """By name."""
    required: list[str]
    """By any of them."""


def installed(image: Image) -> Installed:
    found: dict[str, Any] = python(image, _INSTALLED)
    versions = {normal(name): version for name, version in found["installed"].items()}
    return Installed(found["python"], versions, [line for lines in found["required"].values() for line in lines])


def normal(name: str) -> str:
    """As the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def environment_of(python_version: str) -> dict[str, str]:
    """What markers are evaluated with: this machine's, but for the Python."""
    return {"python_version": python_version.rpartition(".")[0], "python_full_version": python_version, "extra": ""}


def locked(lock: str, python_version: str) -> dict[str, str]:
    """Name and version of whatever a lock installs."""
    major, minor, _ = python_version.split(".")
    path = PROJECT / "requirements" / f"{lock}-py{major}{minor}.txt"
    lines = [line.removesuffix("\\").strip() for line in path.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    found = map(Requirement, lines)
    chosen = [one for one in found if one.marker is None or one.marker.evaluate(environment_of(python_version))]
    return {normal(one.name): str(one.specifier).removeprefix("==") for one in chosen}
