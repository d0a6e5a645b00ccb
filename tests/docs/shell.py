"""The commands that a page shows, and what our own parser makes of them."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.docs.pages import Page
from transcriber_worker import cli

SHELL = frozenset({"sh", "bash", "shell", "console"})
_SEPARATORS = frozenset({"&&", "||", "|", ";", "&", "(", ")"})
_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, as a page has it."""

    where: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"


def commands(page: Page, program: str) -> list[Command]:
    """Every use of a program in the page's blocks, and in its backticks where the program comes first."""
    found = [
        command
        for block in page.blocks()
        if block.language in SHELL or not block.language
        for line in lines(block.text)
        for command in _split(str(block), line)
    ]
    for line, text in page.words():
        found += _split(f"{page}:{line}", text)
    return [command for command in found if command.program.rpartition("/")[2] == program]


def complaint(command: Command) -> str | None:
    """What our own parser has against a command line of ours."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.parser().parse_args(command.arguments)
        except SystemExit as end:
            return None if not end.code else f"{command}: {said.getvalue().splitlines()[-1]}"
    return None


def lines(text: str) -> Iterator[str]:
    """Whole command lines: continuations joined, here-documents left out."""
    whole, ends_at = "", None
    for line in text.splitlines():
        if ends_at is not None:
            ends_at = None if line.strip() == ends_at else ends_at
            continue
        whole += line.removesuffix("\\") if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        if (opened := _HERE_DOCUMENT.search(whole)) is not None:
            ends_at = opened[1]
        yield whole
        whole = ""


def _split(where: str, line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # prose with an apostrophe
        return
    part: list[str] = []
    for word in [*words, ";"]:
        if word in _SEPARATORS:
            if part := _without_assignments(part):
                yield Command(where, tuple(part))
            part = []
        else:
            part.append(word)


def _without_assignments(words: list[str]) -> list[str]:
    words = words[1:] if words[:1] == ["$"] else words
    while words and re.match(r"^[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    if ">" in words or ">>" in words or "<" in words:
        words = words[: min(words.index(sign) for sign in (">", ">>", "<") if sign in words)]
    return words
