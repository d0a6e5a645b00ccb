"""A Prometheus with the chart's own rules for all tests of a run: it watches many namespaces, as in a cluster."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.chaos.standing import standing
from tests.chart.conftest import helm as helm
from tests.chart.tools import Helm, missing, the, tools
from tests.monitoring.faster import faster_rules, milliseconds
from tests.monitoring.prometheus import Prometheus, serving
from tests.monitoring.site import Site, under_watch

FACTOR = 100
"""Half an hour takes 18 s."""
LOOKBACK_MS = 5 * 60_000
"""Prometheus' own default."""
MONITORING = {"monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True, "selector": ""}}}
"""Rules for all namespaces, so that one which mixed them up would show."""


@pytest.fixture(scope="session")
def prometheus(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if reason := missing("prometheus"):
        pytest.skip(f"no Prometheus: {reason}")
    documents = helm.render(values=MONITORING)
    groups: list[dict[str, Any]] = the(documents, "PrometheusRule")["spec"]["groups"]
    (endpoint,) = the(documents, "PodMonitor")["spec"]["podMetricsEndpoints"]
    interval_ms = math.ceil(milliseconds(endpoint["interval"]) / FACTOR)
    folder = tmp_path_factory.mktemp("prometheus")
    rules = faster_rules(groups, FACTOR)
    with serving(str(tools()["prometheus"]), folder, rules, interval_ms, LOOKBACK_MS // FACTOR) as server:
        yield server
        assert server.problems() == []


class Watch(Protocol):
    """Opens the test's site."""

    def __call__(self, stack: str = "directory", **sections: Any) -> Site: ...


@pytest.fixture
def watch(prometheus: Prometheus, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watch]:
    namespace = request.node.name.removeprefix("test_").replace("_", "-")
    with ExitStack() as opened:

        def open_site(stack: str = "directory", **sections: Any) -> Site:
            ground = opened.enter_context(standing(stack, tmp_path))
            return opened.enter_context(under_watch(namespace, prometheus, tmp_path, ground, **sections))

        yield open_site
