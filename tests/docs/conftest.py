"""The real tools, as the chart's own tests have them."""

from tests.chart.conftest import helm, kubectl, oci, promtool

__all__ = ["helm", "kubectl", "oci", "promtool"]
