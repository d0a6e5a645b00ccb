"""The picture of the dashboard: every query asked of a real Prometheus that has seen a small real run."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.processes import PROJECT
from tests.chart.dashboard import PANELS
from tests.monitoring.conftest import Watch
from tests.monitoring.prometheus import Alert, Prometheus
from tests.monitoring.site import unreadable

pytestmark = pytest.mark.timeout(240)

OF_GPUS = {"GPU busy", "GPU memory", "Power"}
"""Nothing where there is none."""
OF_BATCHES = {"Batches"}
"""The fake engine makes none."""


def draw(prometheus: Prometheus, namespace: str, output: Path, since: float) -> "subprocess.CompletedProcess[str]":
    asked = ["--prometheus", prometheus.url, "--namespace", namespace, "--since", str(since), "--scrape-s", "0.3"]
    command = [sys.executable, str(PROJECT / "scripts" / "dashboard-picture.py"), *asked, "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def series_by_panel(told: str) -> dict[str, int]:
    return {title: int(count) for count, title in re.findall(r"^ *(\d+)  (.+)$", told, re.M)}


def vivid(picture: Path) -> set[tuple[int, ...]]:
    """Its colours that are no grey: text, grid and axes have none."""
    with Image.open(picture) as image:
        pixels = image.convert("RGB").getcolors(image.width * image.height) or []
    return {colour for _, colour in pixels if isinstance(colour, tuple) and max(colour) - min(colour) > 60}


def test_every_panel_with_something_to_show_shows_it(watch: Watch, tmp_path: Path) -> None:
    begun = time.time()
    site = watch("oci_queue")
    garbage = unreadable(tmp_path / "garbage.wav")
    site.open()
    site.deployment.run_to_end(*site.submit(6), *site.submit(1, garbage, "bad"))
    site.wait_for('sum(transcriber_jobs_finished_total{outcome=~"completed|dead_lettered",$}) == 7', "all are told of")
    site.expected = {Alert.of("TranscriberDeadLetters", reason="media_unreadable")}

    drawn = draw(site.prometheus, site.namespace, tmp_path / "picture.png", begun)

    assert drawn.returncode == 0, drawn.stderr
    counts = series_by_panel(drawn.stdout)
    assert list(counts) == [panel["title"] for panel in PANELS]
    assert {title for title, count in counts.items() if count == 0} - OF_GPUS == OF_BATCHES
    assert counts["Left to do"] == 2
    assert counts["Publish to result"] == 3
    assert len(vivid(tmp_path / "picture.png")) > 3, "lines of several colours"


def test_another_namespace_is_no_data_and_said(prometheus: Prometheus, tmp_path: Path) -> None:
    drawn = draw(prometheus, "nobody-is-here", tmp_path / "picture.png", time.time() - 60)

    assert drawn.returncode == 1
    assert "is nobody-is-here the namespace" in drawn.stderr
    assert not (tmp_path / "picture.png").exists()


def test_a_prometheus_that_does_not_answer_is_named(tmp_path: Path) -> None:
    drawn = draw(Prometheus(9, tmp_path), "transcription", tmp_path / "picture.png", time.time() - 60)

    assert drawn.returncode == 1
    assert "http://127.0.0.1:9" in drawn.stderr
    assert "Traceback" not in drawn.stderr
