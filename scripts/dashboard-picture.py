#!/usr/bin/env python3
"""Draw the chart's dashboard as one picture, from a Prometheus and a stretch of time: for a report, or without Grafana.

    scripts/dashboard-picture.py --namespace transcription --since 2h --output evening.png
    scripts/dashboard-picture.py --prometheus http://prometheus:9090 --namespace transcription \\
        --since 2026-01-31T20:00:00+00:00 --until 2026-02-01T06:00:00+00:00 --output night.svg

Runs every query of helm/transcriber-worker/files/dashboard.json as Grafana would and prints, panel by panel, how many
series it got. Needs matplotlib, which `make setup` installs.
"""

import argparse
import json
import math
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter
from PIL import Image

DASHBOARD = Path(__file__).resolve().parent.parent / "helm" / "transcriber-worker" / "files" / "dashboard.json"
POINTS = 240
"""Of a series, about as many as a panel has room for."""
COLUMNS, CELL_IN = 24, (0.62, 0.36)
"""Of the dashboard's grid; width and height of a cell, inches."""
MARGIN_IN, TITLE_IN = 0.3, 0.7
MOST_NAMED = 6
MINUTES_FROM_S = 180
PALETTE = 64
_DAY_S = 86_400
_DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Unreachable(Exception):
    """Prometheus does not answer, or refuses a query."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is drawn, Unix seconds; `scrape_s`: how often Prometheus scrapes."""

    start: float
    end: float
    scrape_s: float

    @property
    def step_s(self) -> float:
        return max(self.scrape_s, math.ceil((self.end - self.start) / POINTS))

    @property
    def rate_interval_s(self) -> float:
        """Grafana's `$__rate_interval`."""
        return max(self.step_s + self.scrape_s, 4 * self.scrape_s)


@dataclass(frozen=True, slots=True)
class Series:
    """`times`: days since 1970, as matplotlib counts them."""

    name: str
    times: Sequence[float]
    values: Sequence[float]

    @property
    def most(self) -> float:
        """Its highest value; -inf where it never has one."""
        return max((value for value in self.values if math.isfinite(value)), default=-math.inf)


class Prometheus:
    """Its API, asked for one dashboard's variables."""

    def __init__(self, url: str, span: Span, variables: Mapping[str, str]) -> None:
        if not url.startswith(("http://", "https://")):
            raise Unreachable(f"{url} is no address of a Prometheus: write http://host:9090")
        self._url = url.rstrip("/")
        self.span = span
        self._variables = {"$__rate_interval": f"{span.rate_interval_s * 1000:.0f}ms", **variables}

    def series(self, expression: str, legend: str) -> list[Series]:
        """The series of a query over the span, named as the legend says."""
        for name, value in self._variables.items():
            expression = expression.replace(name, value)
        span = self.span
        asked = {"query": expression, "start": span.start, "end": span.end, "step": span.step_s}
        body = urllib.parse.urlencode(asked).encode()
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query_range", body, timeout=60) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise Unreachable(f"{expression}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._url}: {error}") from error
        series = [self._series(one["metric"], one["values"], legend) for one in found]
        return [one for one in series if one.most > -math.inf]  # nothing divided by nothing is no data

    def _series(self, labels: Mapping[str, str], samples: Sequence[tuple[float, str]], legend: str) -> Series:
        """With a gap wherever there was no value."""
        given = {round((at - self.span.start) / self.span.step_s): float(value) for at, value in samples}
        steps = range(max(given) + 1)
        times = [(self.span.start + step * self.span.step_s) / _DAY_S for step in steps]
        name = re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend).strip()
        return Series(name, times, [given.get(step, math.nan) for step in steps])


def picture(panels: Sequence[Mapping[str, Any]], prometheus: Prometheus, title: str) -> tuple[Figure, dict[str, int]]:
    """All panels in the dashboard's grid; and how many series each has."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = COLUMNS * CELL_IN[0], rows * CELL_IN[1] + TITLE_IN
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(MARGIN_IN / width, 1 - 0.3 / height, title, fontsize=13, weight="bold", va="center")
    counts: dict[str, int] = {}
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] * CELL_IN[0], TITLE_IN + place["y"] * CELL_IN[1]
        if panel["type"] == "row":
            figure.text(MARGIN_IN / width, 1 - (top + 0.2) / height, panel["title"], fontsize=12, color="#444444",
                        va="center", weight="bold")  # fmt: skip
            continue
        # Room for the title above, the legend below and the numbers at the left.
        inner = (left + 0.62, top + 0.34, place["w"] * CELL_IN[0] - 0.9, place["h"] * CELL_IN[1] - 1.14)
        axes = figure.add_axes(
            (inner[0] / width, 1 - (inner[1] + inner[3]) / height, inner[2] / width, inner[3] / height)
        )
        found = [
            one for target in panel["targets"] for one in prometheus.series(target["expr"], target["legendFormat"])
        ]
        counts[panel["title"]] = len(found)
        _draw(axes, panel, found, prometheus.span)
    return figure, counts


def _draw(axes: Axes, panel: Mapping[str, Any], found: Sequence[Series], span: Span) -> None:
    axes.set_title(panel["title"], loc="left", fontsize=9.5, pad=5)
    axes.set_xlim(span.start / _DAY_S, span.end / _DAY_S)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, color="#888888", labelcolor="#444444")
    if not found:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color="#999999", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    named = sorted((one for one in found if one.most > 0), key=lambda one: -one.most)[:MOST_NAMED]
    for one in found:
        if one not in named:
            axes.plot(one.times, one.values, linewidth=1.0, color="#cccccc")
    for one in named:
        axes.plot(one.times, one.values, linewidth=1.2, label=one.name)
    _scale(axes, panel["fieldConfig"]["defaults"]["unit"])
    rest = len(found) - len(named)
    if rest:
        axes.plot([], [], " ", label=f"{rest} more, smaller or zero" if named else f"{rest}, at zero")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=3, fontsize=6.5, frameon=False, handlelength=1.2,
                columnspacing=1.0, handletextpad=0.4)  # fmt: skip


def _scale(axes: Axes, unit: str) -> None:
    """From zero up, in the panel's unit."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top if top > 0.06 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    written: dict[str, Callable[[float, int], str]] = {
        "ops": lambda value, _: f"{value:g}/s",
        "s": lambda value, _: f"{value:g} s" if top < MINUTES_FROM_S else f"{value / 60:g} min",
    }
    if unit == "s" and top >= MINUTES_FROM_S:
        apart_min = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120) if top / 60 / step <= 5), 360)
        axes.yaxis.set_major_locator(MultipleLocator(60 * apart_min))
    if unit == "percentunit":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif unit == "bytes":
        axes.yaxis.set_major_formatter(EngFormatter("B", places=1))
    elif unit in written:
        axes.yaxis.set_major_formatter(FuncFormatter(written[unit]))


def _save(figure: Figure, output: Path) -> None:
    if output.suffix != ".png":
        figure.savefig(output)
        return
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    # A picture of lines needs few colours, and a third of the room then.
    Image.open(drawn).convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE).save(output, optimize=True)


def moment(text: str, now: float) -> float:
    """Unix seconds of an ISO 8601 time, of Unix seconds, or of so long before now (`90m`)."""
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    if ago:
        return now - int(ago[1]) * _DURATION_S[ago[2]]
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--prometheus", default="http://localhost:9090", metavar="URL", help="default: %(default)s")
    parser.add_argument("--namespace", required=True, help="of the release")
    parser.add_argument("--pod", default=".+", help="regular expression; default: all")
    parser.add_argument("--since", default="6h", help="so long ago, Unix seconds or ISO 8601; default: %(default)s")
    parser.add_argument("--until", default="0s", help="the same; default: now")
    parser.add_argument("--scrape-s", type=float, default=30.0, help="seconds between scrapes; default: %(default)g")
    parser.add_argument("--title", help="default: the namespace and the time")
    parser.add_argument("--output", type=Path, default=Path("dashboard.png"), help="PNG or SVG; default: %(default)s")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)
    now = datetime.now(UTC).timestamp()
    try:
        span = Span(moment(options.since, now), moment(options.until, now), options.scrape_s)
    except ValueError as error:
        print(f"--since, --until: {error}", file=sys.stderr)
        return 2
    title = options.title or f"{options.namespace}, {datetime.fromtimestamp(span.end, UTC):%Y-%m-%d %H:%M} UTC"
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: smaller, and can be searched
    try:
        prometheus = Prometheus(options.prometheus, span, {"$namespace": options.namespace, "$pod": options.pod})
        figure, counts = picture(panels, prometheus, title)
    except Unreachable as error:
        print(error, file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{count:4}  {name}")
    if not any(counts.values()):
        print(f"no panel has data: is {options.namespace} the namespace of the release?", file=sys.stderr)
        return 1
    _save(figure, options.output)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
