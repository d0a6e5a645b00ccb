"""The project's pages: what they link to, what they show, what they name."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).resolve().parents[2]
_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """Something shown: a fenced block, or an indented one, which has no language."""

    page: "Page"
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Link:
    page: "Page"
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.target}"


@dataclass(frozen=True)
class Page:
    """A Markdown file of the project."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def anchors(self) -> frozenset[str]:
        """What `#...` may name: headings, as GitHub spells them."""
        found: dict[str, int] = {}
        tokens = _tokens(self)
        for opening, inline in pairwise(tokens):
            if opening.type == "heading_open":
                plain = "".join(
                    child.content for child in inline.children or () if child.type in {"text", "code_inline"}
                )
                slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
                count = found[slug] = found.get(slug, -1) + 1
                if count:
                    found[f"{slug}-{count}"] = 0
        return frozenset(found)

    def blocks(self) -> list[Block]:
        return [
            Block(self, (token.map or [0])[0] + 1, token.info.strip(), token.content)
            for token in _tokens(self)
            if token.type in {"fence", "code_block"}
        ]

    def links(self) -> list[Link]:
        return [
            Link(self, line, str(child.attrs["href" if child.type == "link_open" else "src"]))
            for line, child in self._inlines()
            if child.type in {"link_open", "image"}
        ]

    def words(self) -> list[tuple[int, str]]:
        """Line, and text, of everything in backticks."""
        return [(line, child.content) for line, child in self._inlines() if child.type == "code_inline"]

    def _inlines(self) -> Iterator[tuple[int, Token]]:
        line = 0
        for token in _tokens(self):
            line = token.map[0] + 1 if token.map else line
            for child in token.children or ():
                yield line, child


@cache
def _tokens(page: Page) -> list[Token]:
    return _PARSER.parse(page.text)


@cache
def pages() -> tuple[Page, ...]:
    """All of them, but for what lies in hidden folders."""
    found = []
    for folder, folders, files in os.walk(PROJECT):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        found += [Page(Path(folder) / name) for name in sorted(files) if name.endswith(".md")]
    return tuple(found)


def page(name: str) -> Page:
    """One of them, by its path in the project."""
    (found,) = (one for one in pages() if str(one) == name)
    return found
