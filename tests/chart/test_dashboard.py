"""The dashboard: every expression is PromQL, about series that are exported."""

import json
import re

import pytest

from tests.chart.dashboard import FILE, PANELS
from tests.chart.exported import problems
from tests.chart.tools import Helm, the


def queries() -> list[tuple[str, str, str]]:
    """Panel, expression with Grafana's variables replaced, legend."""
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "5m"), target["legendFormat"])
        for panel in PANELS
        for target in panel["targets"]
    ]


@pytest.mark.parametrize(("panel", "expression", "legend"), queries())
def test_it_asks_for_what_is_exported(panel: str, expression: str, legend: str) -> None:
    assert problems(expression) == []
    for label in re.findall(r"{{(\w+)}}", legend):
        # A legend that shows a label must find it in the result.
        assert re.search(rf"by \([^)]*\b{label}\b", expression) or " by " not in expression, (panel, label)


def test_a_metric_or_a_label_that_nobody_exports_is_found() -> None:
    assert problems("transcriber_words_totals") == ["nobody exports transcriber_words_totals"]
    assert problems('transcriber_words_total{outcome="x"}') == ["transcriber_words_total has no label outcome"]
    assert problems('transcriber_jobs_finished_total{outcome="lost"}') == [
        "transcriber_jobs_finished_total: outcome is never lost"
    ]
    assert problems("sum by (tenant) (transcriber_words_total)") == ["nothing has the label tenant"]
    with pytest.raises(ValueError, match="unclosed"):
        problems("sum(transcriber_words_total")


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]


def test_the_chart_ships_it_unchanged(helm: Helm) -> None:
    shipped = the(helm.render(values={"monitoring": {"dashboard": {"enabled": True}}}), "ConfigMap", "-dashboard")

    assert shipped["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(shipped["data"]["transcriber-worker.json"]) == json.loads(FILE.read_text())
