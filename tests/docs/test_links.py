"""What a page links to is there."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import PROJECT, Link, Page, page, pages

RELATIVE = [link for one in pages() for link in one.links() if not urlsplit(link.target).scheme]


def target_of(link: Link) -> tuple[Path, str]:
    """The file and the anchor that a relative link means."""
    path, _, anchor = unquote(link.target).partition("#")
    return (link.page.path.parent / path).resolve() if path else link.page.path, anchor


@pytest.mark.parametrize("one", pages(), ids=str)
def test_every_link_leads_somewhere(one: Page) -> None:
    dead = []
    for link in one.links():
        if urlsplit(link.target).scheme:
            continue
        path, anchor = target_of(link)
        if not path.exists():
            dead.append(f"{link}: there is no such file")
        elif anchor and path.suffix == ".md" and anchor not in Page(path).anchors():
            dead.append(f"{link}: there is no such heading")
    assert dead == []


def test_anchors_are_spelt_as_github_does(tmp_path: Path) -> None:
    text = "# `queue-exporter` answers 503\n\n## The store can't be reached\n\n## Twice\n\n## Twice\n"
    (tmp_path / "page.md").write_text(text)
    expected = {"queue-exporter-answers-503", "the-store-cant-be-reached", "twice", "twice-1"}
    assert Page(tmp_path / "page.md").anchors() == expected


def test_every_page_is_found_from_the_readme() -> None:
    """Decisions are listed by their folder, which is linked."""
    seen: set[Path] = set()
    ahead = [page("README.md").path, page("CHANGELOG.md").path]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.is_dir():
            ahead += path.glob("*.md")
        elif path.suffix == ".md":
            ahead += [target_of(link)[0] for link in Page(path).links() if not urlsplit(link.target).scheme]
    assert sorted(str(one) for one in pages() if one.path not in seen) == []


def test_there_are_pages_and_links() -> None:
    """Or the tests above would hold for nothing."""
    assert len(RELATIVE) > 50
    assert PROJECT / "README.md" in {one.path for one in pages()}
