"""`queue-exporter` as a process of its own, beside a spool that others work on."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import make_settings, settings_fields
from tests.chaos.processes import free_port, probe, until
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.settings import ENV_PREFIX

LOCALHOST = "127.0.0.1"
PATIENCE_S = 60.0
HEAVY = ("ctranslate2", "faster_whisper", "torch", "onnxruntime", "av", "huggingface_hub", "tokenizers")
"""What only transcribing needs: an always-on pod must not pay for it."""
REPORTING = """
import atexit, sys
atexit.register(lambda: open({path!r}, "w").write("\\n".join(sys.modules)))
from transcriber_worker.cli import main
main()
"""


class Exporter:
    """The process, and what it serves."""

    def __init__(self, folder: Path, port: int) -> None:
        fields = settings_fields(folder)
        fields["exporter"] = {"http_host": LOCALHOST, "http_port": port, "interval_s": 0.05, "stale_s": 0.5}
        (folder / "config.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
        self.port = port
        self.modules = folder / "modules.txt"
        self.log = folder / "log.jsonl"
        program = REPORTING.format(path=str(self.modules))
        command = [sys.executable, "-c", program, "queue-exporter", "--config", str(folder / "config.yaml")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where nobody listens."""
        return probe(self.port, path)

    def backlog(self) -> Any:
        """None while it is not known."""
        status, body = self.get("/v1/backlog")
        return json.loads(body)["backlog"] if status == 200 else None

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


@contextmanager
def exporting(folder: Path) -> Iterator[Exporter]:
    exporter = Exporter(folder, free_port())
    try:
        yield exporter
    finally:
        exporter.process.kill()
        exporter.process.wait()


@pytest.mark.timeout(120)
def test_it_follows_the_spool_says_when_it_does_not_know_and_stops_politely(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with exporting(tmp_path) as exporter:
        until(lambda: exporter.get("/livez")[0] == 200, "it lives", PATIENCE_S)
        assert exporter.get("/v1/backlog")[0] == 503, "no worker has made a spool yet"
        assert exporter.get("/readyz")[0] == 503
        assert "transcriber_backlog_waiting_messages" not in exporter.get("/metrics")[1]

        broker = DirectoryBroker(make_settings(tmp_path).broker.directory, SystemClock())
        until(lambda: exporter.backlog() == 0, "an empty spool is known to be empty", PATIENCE_S)
        for _ in range(3):
            broker.publish(b"{}", {})
        (delivery,) = broker.receive(1, 0.0)
        until(lambda: exporter.backlog() == 3, "what is with a worker counts", PATIENCE_S)
        assert "transcriber_backlog_in_flight_messages 1.0" in exporter.get("/metrics")[1]
        delivery.settle()
        until(lambda: exporter.backlog() == 2, "what is settled does not", PATIENCE_S)

        spool.rename(tmp_path / "unmounted")
        until(lambda: exporter.get("/v1/backlog")[0] == 503, "it says that it does not know", PATIENCE_S)
        assert exporter.get("/livez")[0] == 200
        (tmp_path / "unmounted").rename(spool)
        until(lambda: exporter.backlog() == 2, "it knows again", PATIENCE_S)

        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(PATIENCE_S) == ExitCode.OK
        assert exporter.get("/livez")[0] == 0
        told = [event for event in exporter.events() if event.startswith("backlog.")]
        assert told == ["backlog.unknown", "backlog.known", "backlog.unknown", "backlog.known"]
        loaded = set(exporter.modules.read_text().splitlines())
        assert "transcriber_worker.tools.queue_exporter" in loaded
        assert loaded.isdisjoint(HEAVY)


def test_a_port_that_is_taken_ends_it_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.create_server((LOCALHOST, 0)) as taken:
        exporter = Exporter(tmp_path, taken.getsockname()[1])

        assert exporter.process.wait(PATIENCE_S) == ExitCode.WORKER_BROKEN
        assert "exporter.http_port" in exporter.log.read_text()
