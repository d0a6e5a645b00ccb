"""What a new version costs to build, push and pull."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.building import PROJECT, Image, build, podman

BUILDS = ("Dockerfile", ".dockerignore", "scripts")


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of what images are built from, a line longer."""
    sent = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in (*BUILDS, *sent):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, tmp_path / name)
    with (tmp_path / "src" / "transcriber_worker" / "cli" / "__init__.py").open("a") as source:
        source.write("#\n")
    return tmp_path


@pytest.fixture
def rebuilt(changed: Path, exporter: Image) -> Iterator[Image]:
    image = build("exporter", exporter.base, project=changed)
    yield image
    podman("image", "rm", "--force", image.inspect()["Id"])


def layers(image: Image) -> list[str]:
    """Digests, the base's first."""
    return list(image.inspect()["RootFS"]["Layers"])


def test_a_change_of_the_source_alone_changes_the_last_layer_only(exporter: Image, rebuilt: Image) -> None:
    *before, old = layers(exporter)
    *after, new = layers(rebuilt)
    assert before == after
    assert old != new
