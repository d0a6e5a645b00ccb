"""`queue-exporter` as a process of its own, as KEDA and Prometheus meet it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.processes import free_port, probe
from tests.scaling.recordings import Answer
from transcriber_worker.settings import ENV_PREFIX

_GAUGES = "transcriber_backlog_"


class Exporter:
    """One that can be killed and started again on its port. `fields`: its settings, but for its own section."""

    def __init__(self, folder: Path, fields: Mapping[str, Any], *, interval_s: float, stale_s: float) -> None:
        self.port = free_port()
        own = {"http_host": "127.0.0.1", "http_port": self.port, "interval_s": interval_s, "stale_s": stale_s}
        self._config = folder / "exporter.yaml"
        self._config.write_text(yaml.safe_dump({**fields, "exporter": own}), encoding="utf-8")
        self._log = folder / "exporter.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "transcriber_worker", "queue-exporter", "--config", str(self._config)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self) -> tuple[int, Answer | None]:
        """GET /v1/backlog, as KEDA does: the status, 0 where nobody answers, and a 200's body."""
        status, body = _get(self.port, "/v1/backlog")
        return status, Answer.model_validate_json(body) if status == 200 else None

    def scrape(self) -> tuple[int, dict[str, float]]:
        """GET /metrics, as Prometheus does: the status, and the gauges of the backlog."""
        status, body = _get(self.port, "/metrics")
        samples = [one for family in text_string_to_metric_families(body) for one in family.samples]
        return status, {one.name: round(one.value, 3) for one in samples if one.name.startswith(_GAUGES)}


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        return probe(port, path)
    except OSError:  # it accepted and did not answer in time
        return 0, ""
