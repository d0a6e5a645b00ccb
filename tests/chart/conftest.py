"""The real Helm and promtool, or a skip that says why they can't be had."""

import pytest

from tests.chart.tools import Helm, missing, tools


def _tool(name: str) -> str:
    if reason := missing(name):
        pytest.skip(f"no {name}: {reason}")
    return str(tools()[name])


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(_tool("helm"))


@pytest.fixture(scope="session")
def promtool() -> str:
    return _tool("promtool")
