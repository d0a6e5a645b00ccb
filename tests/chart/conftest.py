"""The real Helm, kubectl, oci, promtool and custom resource definitions, or a skip that says why they can't be had."""

from pathlib import Path

import pytest

from tests.chart.schemas import Definitions
from tests.chart.tools import Helm, missing, tools


def _tool(name: str, script: str = "chart-tools.py") -> str:
    if reason := missing(name, script):
        pytest.skip(f"no {name}: {reason}")
    return str(tools(script)[name])


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(_tool("helm"))


@pytest.fixture(scope="session")
def kubectl() -> str:
    return _tool("kubectl")


@pytest.fixture(scope="session")
def oci() -> str:
    """OCI's own command line."""
    return _tool("oci")


@pytest.fixture(scope="session")
def promtool() -> str:
    return _tool("promtool")


@pytest.fixture(scope="session")
def definitions() -> Definitions:
    return Definitions(Path(_tool("crds", "chart-schemas.py")))
