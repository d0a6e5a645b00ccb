"""The alerts, evaluated by the real promtool: each fires when it should, and nothing else does."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.alert_scenarios import HEALTHY, QUIET, SCENARIOS
from tests.chart.exported import SERIES, problems
from tests.chart.tools import Helm, the
from tests.docs.pages import page

STEP_MIN = 5
BEFORE, AFTER = 24 * 60 // STEP_MIN, 2 * 60 // STEP_MIN
"""Steps: a day that goes well, then two hours in which something may not."""
END = f"{(BEFORE + AFTER) * STEP_MIN}m"


def labelled(series: str) -> str:
    """A worker's, or the exporter's, in its namespace."""
    name, _, labels = series.partition("{")
    own = labels.rstrip("}")
    pod = "exporter" if "backlog" in name else "a"
    return f'{name}{{namespace="transcription",pod="{pod}"{"," if own else ""}{own}}}'


def values(before: str | None, after: str) -> str:
    """Step by step, in promtool's notation; rates are given by the minute."""
    day, reached = _stretch("gone" if before is None else before, 0.0, BEFORE)
    return f"{day} {_stretch(after, reached, AFTER)[0]}"


def _stretch(course: str, reached: float, steps: int) -> tuple[str, float]:
    """So many values, and how far a counter has come."""
    kind, _, number = course.partition(" ")
    if kind == "gone":
        return f"_x{steps}", reached
    if kind == "restarts":
        return " ".join(f"{1000 + life}+0x2" for life in range(steps // 3)), reached
    if kind == "begins":
        return f"_x{steps - 3} {number}+0x2", reached
    if kind == "flashes":
        return f"_x{steps - 4} {number}+0x1 _x2", reached
    if kind == "level":
        return f"{number}+0x{steps - 1}", reached
    each = float(number) * STEP_MIN
    return f"{reached + each}+{each}x{steps - 1}", reached + each * steps


def series(changes: Mapping[str, str]) -> list[dict[str, str]]:
    names = dict.fromkeys([*HEALTHY, *changes])
    return [
        {"series": labelled(name), "values": values(HEALTHY.get(name), changes.get(name, HEALTHY.get(name, "gone")))}
        for name in names
    ]


@pytest.fixture(scope="module")
def rules(helm: Helm) -> dict[str, Any]:
    """The rules as the chart ships them."""
    on = {"monitoring": {"rules": {"enabled": True, "retentionSeconds": 86400}}}
    spec: dict[str, Any] = the(helm.render(values=on), "PrometheusRule")["spec"]
    return spec


@pytest.fixture(scope="module")
def alerts(rules: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}


@pytest.fixture(scope="module")
def rules_file(rules: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(rules))
    return path


def of_release(name: str, changes: Mapping[str, str]) -> list[dict[str, str]]:
    """The series of one of several releases, with the label that the PodMonitor gives."""
    label = f'app_kubernetes_io_instance="{name}"'
    return [{**one, "series": one["series"].replace("{", f"{{{label},", 1)} for one in series(changes)]


def firing(promtool: str, rules_file: Path, input_series: list[dict[str, str]], expected: list[str]) -> None:
    """Assert that at the end exactly these alerts fire; each as promtool writes a series of ALERTS."""
    sampled = [{"labels": alert, "value": 1} for alert in expected]
    asked = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": END, "exp_samples": sampled}
    test = {"interval": f"{STEP_MIN}m", "input_series": input_series, "promql_expr_test": [asked]}
    tests = rules_file.with_name("tests.yaml")
    tests.write_text(
        yaml.safe_dump({"rule_files": [rules_file.name], "evaluation_interval": f"{STEP_MIN}m", "tests": [test]})
    )
    done = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def fired(alert: str, labels: Mapping[str, str]) -> str:
    """A series of ALERTS."""
    every = {"alertname": alert, "alertstate": "firing", "namespace": "transcription", **labels}
    text = ", ".join(f'{name}="{value}"' for name, value in sorted(every.items()))
    return f"ALERTS{{{text}}}"


@pytest.mark.parametrize(
    ("alert", "changes", "labels"), SCENARIOS, ids=[f"{n}-{one[0]}" for n, one in enumerate(SCENARIOS)]
)
def test_it_fires_alone(
    promtool: str,
    rules_file: Path,
    alerts: dict[str, dict[str, Any]],
    alert: str,
    changes: Mapping[str, str],
    labels: Mapping[str, str],
) -> None:
    firing(promtool, rules_file, series(changes), [fired(alert, {**alerts[alert]["labels"], **labels})])


@pytest.mark.parametrize("changes", QUIET.values(), ids=QUIET)
def test_nobody_is_paged_for_nothing(promtool: str, rules_file: Path, changes: Mapping[str, str]) -> None:
    firing(promtool, rules_file, series(changes), [])


def test_two_releases_in_one_namespace_dont_answer_for_each_other(promtool: str, helm: Helm, tmp_path: Path) -> None:
    """One that gets on does not hide the other's standstill, nor is it blamed for it."""
    on = {"monitoring": {"rules": {"enabled": True}, "podMonitor": {"enabled": True}}}
    spec = the(helm.render(values=on), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    well: dict[str, str] = {}
    stuck = {"transcriber_last_progress_timestamp_seconds": "rate 0"}
    alert = fired("TranscriberNoProgress", {"severity": "critical"})

    for calls, other, expected in ((stuck, well, [alert]), (well, stuck, []), (well, well, [])):
        both = [*of_release("calls", calls), *of_release("other", other)]
        firing(promtool, tmp_path / "rules.yaml", both, expected)


def test_promtool_accepts_them(promtool: str, rules_file: Path) -> None:
    done = subprocess.run([promtool, "check", "rules", rules_file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_scenario(alerts: dict[str, dict[str, Any]]) -> None:
    assert set(alerts) == {alert for alert, _, _ in SCENARIOS}


def test_they_ask_for_what_is_exported(alerts: dict[str, dict[str, Any]]) -> None:
    assert {name: problems(rule["expr"]) for name, rule in alerts.items() if problems(rule["expr"])} == {}


def test_the_scenarios_are_of_what_is_exported() -> None:
    for name in [*HEALTHY, *(name for _, changes, _ in SCENARIOS for name in changes)]:
        assert problems(name) == [], name
        assert name.partition("{")[0] in SERIES


def test_every_alert_has_its_section_in_the_runbook(alerts: dict[str, dict[str, Any]]) -> None:
    anchors = page("docs/operations.md").anchors()
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert name.lower() in anchors, name


def test_the_selector_scopes_every_rule(helm: Helm) -> None:
    def expressions(selector: str | None) -> list[str]:
        on = {"monitoring": {"rules": {"enabled": True, "selector": selector}}}
        groups = the(helm.render(values=on), "PrometheusRule")["spec"]["groups"]
        return [rule["expr"] for group in groups for rule in group["rules"]]

    for given, wanted in ((None, 'namespace="transcription"'), ('cluster="x"', 'cluster="x"')):
        for expression in expressions(given):
            assert expression.count(wanted) == len(re.findall(r"transcriber_\w+", expression)), expression
    assert not any("namespace=" in expression for expression in expressions(""))
