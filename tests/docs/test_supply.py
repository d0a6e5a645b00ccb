"""What is installed is what was looked at: everything by its hash."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, pages
from tests.docs.shell import commands

LOCKS = sorted((PROJECT / "requirements").glob("*.txt"))
RECIPES = [PROJECT / "Makefile", PROJECT / "Dockerfile", *sorted((PROJECT / "image").glob("*.sh"))]
_INSTALLS = re.compile(r"pip[^\n|;]*? (?:install|wheel|download)\b(?:\\\n|[^\n])*")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_of_a_lock_is_pinned_by_hash(lock: Path) -> None:
    text = re.sub(r"^\s*#.*$", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip()]
    assert requirements
    assert [line for line in requirements if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def from_an_index(install: str) -> bool:
    """Whether it takes anything but this project itself, without asking for hashes."""
    return "--require-hashes" not in install and "--no-deps" not in install and "--upgrade pip" not in install


@pytest.mark.parametrize("recipe", [path for path in RECIPES if path.exists()], ids=lambda path: path.name)
def test_nothing_is_installed_without_its_hash(recipe: Path) -> None:
    assert [found for found in _INSTALLS.findall(recipe.read_text()) if from_an_index(found)] == []


def test_no_page_installs_without_hashes() -> None:
    shown = [str(command) for page in pages() for command in commands(page, "pip") if "install" in command.arguments]
    shown += [
        str(command)
        for page in pages()
        for command in commands(page, "sudo")
        if any(word.endswith("/pip") for word in command.arguments)
    ]
    assert shown
    assert [text for text in shown if from_an_index(text)] == []


def test_an_install_without_hashes_is_found() -> None:
    (found,) = _INSTALLS.findall("\t$(BIN)/python -m pip install --quiet requests\n")
    assert from_an_index(found)
