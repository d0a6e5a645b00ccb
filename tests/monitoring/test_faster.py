"""Rules in faster time say the same as before, only sooner."""

import re
from typing import Any

import pytest

from tests.chart.tools import Helm, the
from tests.monitoring.faster import faster_duration, faster_expression, faster_rules, milliseconds


@pytest.mark.parametrize(
    ("duration", "ms"), [("30s", 30_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("500ms", 500), ("1m500ms", 60_500)]
)
def test_durations_are_read_as_prometheus_does(duration: str, ms: int) -> None:
    assert milliseconds(duration) == ms


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1.5h", "5m?"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        milliseconds(text)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("increase(x[30m]) > 5", "increase(x[18000ms]) > 5"),
        ("increase(x[1d] offset 1h)", "increase(x[864000ms] offset 36000ms)"),
        ("count_over_time(x[1d:1m])", "count_over_time(x[864000ms:600ms])"),
        ("time() - max(x_timestamp_seconds) < 1800", "time() - max(x_timestamp_seconds) < 18"),
        ("max(x_age_seconds) > 86400 / 2", "max(x_age_seconds) > 864 / 2"),
        ("x > 0 unless time() - y >= 1800.5", "x > 0 unless time() - y >= 18.005"),
        ("increase(speech_seconds_total[1h]) > 600", "increase(speech_seconds_total[36000ms]) > 600"),
        ('x{reason="5m",pod="a > 5m"}[5m]', 'x{reason="5m",pod="a > 5m"}[3000ms]'),
        ('x_age_seconds{pod="> 100"} > 100', 'x_age_seconds{pod="> 100"} > 1'),
        ("histogram_quantile(0.5, p95m)", "histogram_quantile(0.5, p95m)"),
    ],
)
def test_time_is_scaled_and_counts_are_not(expression: str, expected: str) -> None:
    assert faster_expression(expression, 100) == expected


def test_nothing_is_shorter_than_prometheus_can_say() -> None:
    assert faster_duration("10ms", 100) == "1ms"


def test_no_duration_of_the_chart_is_left_as_it_was(helm: Helm) -> None:
    """Every one is scaled, and nothing else is changed but the numbers of the rules about the clock."""
    groups = the(helm.render(values={"monitoring": {"rules": {"enabled": True}}}), "PrometheusRule")["spec"]["groups"]

    changed: dict[str, set[str]] = {}
    for before, after in zip(_rules(groups), _rules(faster_rules(groups, 100)), strict=True):
        old, new = (re.split(r"(\d+(?:\.\d+)?[a-z]*)", rule["expr"]) for rule in (before, after))
        differing = {(was, now) for was, now in zip(old, new, strict=True) if was != now}
        assert all(now == faster_duration(was, 100) for was, now in differing if not was.isdecimal()), before["alert"]
        changed[before["alert"]] = {was for was, _ in differing if was.isdecimal()}
        assert {k: v for k, v in before.items() if k not in ("expr", "for")} == {
            k: v for k, v in after.items() if k not in ("expr", "for")
        }

    assert {name: numbers for name, numbers in changed.items() if numbers} == {
        "TranscriberBacklogTooOld": {"86400"},
        "TranscriberNoProgress": {"1800"},
    }


def _rules(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for group in groups for rule in group["rules"]]
