"""What `helm test` runs, really run: its script, against a worker with the chart's own config."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.tools import CHART, PROJECT, Helm, config_of, the
from transcriber_worker.cli.exits import ExitCode


@pytest.fixture
def config(helm: Helm, tmp_path: Path) -> Path:
    """The chart's, its volumes below a folder, and the engine that hears nothing real."""
    text = yaml.safe_dump(config_of(helm.render(values={"config": {"model": {"name": "fake"}}})))
    for volume in ("/data", "/models", "/scratch"):
        text = text.replace(f" {volume}", f" {tmp_path}{volume}")
    fields: dict[str, Any] = yaml.safe_load(text)
    fields["observability"]["http_port"] = 0
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def script(helm: Helm, config: Path, folder: Path) -> str:
    """The pod's own, its places moved."""
    (text,) = the(helm.render(), "Pod", "-test")["spec"]["containers"][0]["args"]
    moved = {
        "/etc/transcriber/config/config.yaml": str(config),
        "/clip/clip.ogg": str(CHART / "files" / "clip.ogg"),
        "/tmp/helm-test": f"{folder}/helm-test",
        "transcriber-worker submit": f"{sys.executable} -m transcriber_worker submit",
    }
    for there, here in moved.items():
        assert there in text
        text = text.replace(there, here)
    return str(text)


def test_the_clip_is_transcribed_and_waited_for(helm: Helm, config: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "transcriber_worker", "run", "--config", str(config)]
    with subprocess.Popen(run, cwd=PROJECT, stderr=subprocess.PIPE) as worker:
        try:
            command = ["sh", "-ec", script(helm, config, tmp_path)]
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
        finally:
            worker.terminate()
            _, log = worker.communicate(timeout=60)

    assert done.returncode == ExitCode.OK, done.stdout + done.stderr + log.decode()
    (transcript,) = (tmp_path / "data" / "transcripts").rglob("helm-test-*.ogg.json")
    assert "segments" in transcript.read_text()
