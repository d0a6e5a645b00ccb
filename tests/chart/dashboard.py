"""The chart's dashboard: its panels, without the rows that divide them."""

import json

from tests.chart.tools import CHART

FILE = CHART / "files" / "dashboard.json"
PANELS = [panel for panel in json.loads(FILE.read_text())["panels"] if panel["type"] != "row"]
