"""A command that a page shows is one that there is."""

import re

import pytest

from tests.docs.pages import PROJECT, Page, pages
from tests.docs.shell import Command, commands, complaint

MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = frozenset(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_line_of_ours_is_one_that_the_parser_takes(page: Page) -> None:
    shown = [command for command in commands(page, "transcriber-worker") if command.arguments]
    assert [why for command in shown if (why := complaint(command))] == []


def test_a_wrong_line_is_found() -> None:
    assert "unrecognized arguments: --color" in str(complaint(Command("x", ("transcriber-worker", "run", "--color"))))
    assert complaint(Command("x", ("transcriber-worker", "bench", "--help"))) is None


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_make_target_is_one_of_the_makefile(page: Page) -> None:
    named = [
        (str(command), word)
        for command in commands(page, "make")
        for word in command.arguments
        if re.fullmatch(r"[a-z][a-z-]*", word)
    ]
    assert [where for where, target in named if target not in TARGETS] == []


def test_commands_are_found() -> None:
    """Or the tests above would hold for nothing."""
    assert len([command for page in pages() for command in commands(page, "transcriber-worker")]) > 20
    assert {"demo", "test", "setup"} <= {
        word for page in pages() for command in commands(page, "make") for word in command.words
    }
