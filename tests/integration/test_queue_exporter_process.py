"""`queue-exporter` as a process of its own, beside a spool that others work on."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import make_settings, settings_fields
from tests.chaos.processes import free_port, until
from tests.scaling.exporter import Exporter
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.clock import SystemClock

PATIENCE_S = 60.0
HEAVY = ("ctranslate2", "faster_whisper", "torch", "onnxruntime", "av", "huggingface_hub", "tokenizers")
"""What only transcribing needs: an always-on pod must not pay for it."""
MODULES = "modules.txt"
REPORTING = """
import atexit, sys
atexit.register(lambda: open({path!r}, "w").write("\\n".join(sys.modules)))
from transcriber_worker.cli import main
main()
"""


def exporter_at(folder: Path, port: int) -> Exporter:
    program = REPORTING.format(path=str(folder / MODULES))
    return Exporter.configured(
        folder, settings_fields(folder), interval_s=0.05, stale_s=0.5, port=port, program=["-c", program]
    )


def backlog(exporter: Exporter) -> int | None:
    """None while it is not known."""
    answer = exporter.ask()[1]
    return answer.backlog if answer else None


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    process = exporter_at(tmp_path, free_port())
    process.start()
    yield process
    process.kill()


@pytest.mark.timeout(120)
def test_it_follows_the_spool_says_when_it_does_not_know_and_stops_politely(exporter: Exporter, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    until(lambda: exporter.get("/livez")[0] == 200, "it lives", PATIENCE_S)
    assert exporter.get("/v1/backlog")[0] == 503, "no worker has made a spool yet"
    assert exporter.get("/readyz")[0] == 503
    assert "transcriber_backlog_waiting_messages" not in exporter.get("/metrics")[1]

    broker = DirectoryBroker(make_settings(tmp_path).broker.directory, SystemClock())
    until(lambda: backlog(exporter) == 0, "an empty spool is known to be empty", PATIENCE_S)
    for _ in range(3):
        broker.publish(b"{}", {})
    (delivery,) = broker.receive(1, 0.0)
    until(lambda: backlog(exporter) == 3, "what is with a worker counts", PATIENCE_S)
    assert "transcriber_backlog_in_flight_messages 1.0" in exporter.get("/metrics")[1]
    delivery.settle()
    until(lambda: backlog(exporter) == 2, "what is settled does not", PATIENCE_S)

    spool.rename(tmp_path / "unmounted")
    until(lambda: exporter.get("/v1/backlog")[0] == 503, "it says that it does not know", PATIENCE_S)
    assert exporter.get("/livez")[0] == 200
    (tmp_path / "unmounted").rename(spool)
    until(lambda: backlog(exporter) == 2, "it knows again", PATIENCE_S)

    assert exporter.terminate() == ExitCode.OK
    assert exporter.get("/livez")[0] == 0
    told = [event for event in exporter.events() if event.startswith("backlog.")]
    assert told == ["backlog.unknown", "backlog.known", "backlog.unknown", "backlog.known"]
    loaded = set((tmp_path / MODULES).read_text().splitlines())
    assert "transcriber_worker.tools.queue_exporter" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_port_that_is_taken_ends_it_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        exporter = exporter_at(tmp_path, taken.getsockname()[1])
        exporter.start()

        assert exporter.ended() == ExitCode.WORKER_BROKEN
        assert "exporter.http_port" in exporter.log()
