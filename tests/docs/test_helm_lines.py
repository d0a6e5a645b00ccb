"""Every line that installs or renders the chart does so, with the value files that it names."""

from pathlib import Path

import pytest
import yaml

from tests.chart.tools import Helm, pods
from tests.docs.pages import PROJECT, Page, page, pages
from tests.docs.quickstarts import PAGES
from tests.docs.rehearsal import rehearse
from tests.docs.shell import Command, commands

REHEARSED = frozenset({*(f"docs/{name}.md" for name in PAGES), "docs/air-gapped.md"})
RENDERING = frozenset({"install", "upgrade", "template", "lint"})
SHOWN = [
    command
    for one in pages()
    if str(one) not in REHEARSED
    for command in commands(one, "helm")
    if command.arguments[:1] and command.arguments[0] in RENDERING and "-f" in command.arguments
]


def with_files(command: Command, where: Path) -> list[str]:
    """The arguments, `my-oci-queue.yaml` being a copy of configmaps/oci-queue.yaml, and `mine.yaml` an empty file."""
    words = list(command.arguments)
    for at, word in enumerate(words):
        if at and words[at - 1] == "-f":
            name = word.removeprefix("my-")
            found = [path for path in (PROJECT / word, PROJECT / "configmaps" / name) if path.is_file()]
            empty = where / "mine.yaml"
            empty.touch()
            assert found or word == "mine.yaml", f"{command}: there is no {word}"
            words[at] = str(found[0] if found else empty)
    return words


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_a_line_renders(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(PROJECT)
    first, *rest = with_files(command, tmp_path)
    said = helm.run("template" if first in {"install", "upgrade"} else first, *rest)
    assert "kind: " in said or "0 chart(s) failed" in said


def test_lines_are_found() -> None:
    assert {"README.md", "configmaps/README.md"} <= {command.where.partition(":")[0] for command in SHOWN}


def test_what_is_packed_here_is_installed_inside(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: Page = page("docs/air-gapped.md")
    rehearsal = rehearse(told, tmp_path)
    monkeypatch.chdir(rehearsal.folder)
    (pack,) = rehearsal.of("helm", "package")
    helm.run(*pack.arguments)
    (install,) = rehearsal.of("helm", "install")
    text = helm.run("template", *install.arguments[1:])
    assert "oci://models@my-namespace/" in text
    (saved,) = rehearsal.of("docker", "save")
    assert set(saved.arguments[1:]) == {one.option("--tag") for one in rehearsal.of("docker", "build")}
    carried = {one.arguments[2] for one in rehearsal.of("docker", "tag")}
    assert {one.arguments[1] for one in rehearsal.of("docker", "push")} == carried
    repositories = {name.rpartition(":")[0] for name in carried}
    specs = [pod["spec"] for pod in pods(one for one in yaml.safe_load_all(text) if one).values()]
    images = {container["image"] for spec in specs for container in spec["containers"]}
    assert {image.partition("@sha256:")[0] for image in images} == repositories
    assert len(images) == len(carried)
