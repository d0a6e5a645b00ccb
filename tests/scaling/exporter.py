"""`queue-exporter` as a process of its own, as KEDA and Prometheus meet it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.processes import free_port, probe
from tests.scaling.recordings import Answer
from transcriber_worker.settings import ENV_PREFIX

_GAUGES = "transcriber_backlog_"
_PROGRAM = ("-m", "transcriber_worker")
_PATIENCE_S = 60.0


class Exporter:
    """One that can be ended and started again on its port."""

    def __init__(self, config: Path, port: int, program: Sequence[str] = _PROGRAM) -> None:
        """`config`: a file of settings, in which `port` is the exporter's. `program`: what Python runs."""
        self.port = port
        self._command = [sys.executable, *program, "queue-exporter", "--config", str(config)]
        self._log = config.with_name("exporter.log")
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def configured(
        cls,
        folder: Path,
        fields: Mapping[str, Any],
        *,
        interval_s: float,
        stale_s: float,
        port: int | None = None,
        program: Sequence[str] = _PROGRAM,
    ) -> "Exporter":
        """One with a file of settings of its own. `fields`: all of them but for its own section."""
        port = port or free_port()
        own = {"http_host": "127.0.0.1", "http_port": port, "interval_s": interval_s, "stale_s": stale_s}
        config = folder / "exporter.yaml"
        config.write_text(yaml.safe_dump({**fields, "exporter": own}), encoding="utf-8")
        return cls(config, port, program)

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._log.parent, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None, "it was not started"
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the exporter has not ended within {_PATIENCE_S:g} s:\n{self.log()}") from None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where nobody answers."""
        try:
            return probe(self.port, path)
        except OSError:  # it accepted and did not answer in time
            return 0, ""

    def ask(self) -> tuple[int, Answer | None]:
        """GET /v1/backlog, as KEDA does: the status, 0 where nobody answers, and a 200's body."""
        status, body = self.get("/v1/backlog")
        return status, Answer.model_validate_json(body) if status == 200 else None

    def scrape(self) -> tuple[int, dict[str, float]]:
        """GET /metrics, as Prometheus does: the status, and the gauges of the backlog."""
        status, body = self.get("/metrics")
        samples = [one for family in text_string_to_metric_families(body) for one in family.samples]
        return status, {one.name: round(one.value, 3) for one in samples if one.name.startswith(_GAUGES)}

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def events(self) -> list[str]:
        """Of each line of its log, in order."""
        return [json.loads(line)["event"] for line in self.log().splitlines()]
