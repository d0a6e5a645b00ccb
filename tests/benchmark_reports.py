"""What a benchmark writes down for others to read."""

import json
import platform
from pathlib import Path

import jsonschema

from tests.speech import PROJECT


def assert_can_be_shown(report: Path) -> None:
    """It keeps its schema, which has its name, and names neither this machine nor its folders."""
    text = report.read_text()
    schema = json.loads((PROJECT / "docs" / "schemas" / report.name).read_text())
    jsonschema.validate(json.loads(text), schema)
    assert platform.node() not in text
    assert str(report.parent) not in text
