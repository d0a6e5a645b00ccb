"""What the pictures of benchmarks are drawn with: plain SVG, for light and dark."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

WIDTH = 860
BAR, STEP = 18, 26
"""Height of a bar, and from one to the next."""
_STYLE = """
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; } .group { font-weight: 600; }
  .note { font-size: 12px; fill: #59636e; }
  .paper { fill: #ffffff; } .ours { fill: #4493f8; } .other { fill: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .note { fill: #9198a1; } .paper { fill: #0d1117; } .other { fill: #59636e; }
  }
"""


def document(title: str, note: str, shapes: Iterable[str], height: float, style: str = "") -> str:
    """A whole picture. `style`: CSS of what only this one has."""
    head = [
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        text(16, 28, title, "title"),
        text(16, 48, note, "note"),
    ]
    body = "\n".join([*head, *shapes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{_STYLE}{style}</style>\n{body}\n</svg>\n'
    )


def text(x: float, y: float, told: str, style: str = "", anchor: str = "start") -> str:
    """`style`: title, group, note, or none."""
    klass = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{klass}>{escape(told)}</text>'


def bar(x: float, y: float, width: float, *, ours: bool) -> str:
    """`ours`: whether it is this worker's."""
    kind = "ours" if ours else "other"
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
