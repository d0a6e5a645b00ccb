"""Containers of the worker and the exporter, as compose.yaml and the chart run them, on the real small model."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.processes import until
from tests.image.building import Image, build
from tests.image.containers import CONFIG, RECORDINGS, Container, call, python, running
from transcriber_worker.tools.demo import recordings_in

LONG = "night-train.opus"
"""91 s: several windows."""
_SANDBOX = """
import json, os
from transcriber_worker.media import sandbox
print(json.dumps({"no_network": sandbox.detach(os.getppid()), "system_call_filter": sandbox.can_seal()}))
"""


@pytest.fixture
def working(worker: Image, box: list[str], models: str) -> Iterator[Container]:
    with running(worker, options=[*box, models]) as container:
        until(lambda: events(container, "worker.ready"), "the worker is ready")
        yield container


def events(container: Container, name: str) -> list[dict[str, Any]]:
    return [line for line in container.log() if line["event"] == name]


def test_the_demo_works_in_the_image(worker: Image, box: list[str], models: str, tmp_path: Path) -> None:
    options = [*box, models, "--env=TRANSCRIBER__MODEL__CACHE_DIR=/models"]  # the demo reads no configuration
    shown = call(worker, "demo", "--folder", "/data/demo", "/recordings", options=options)
    recordings = [path.name for path in recordings_in(RECORDINGS)]
    assert len(recordings) >= 9
    for name in recordings:
        text = (tmp_path / "data" / "demo" / "transcripts" / f"{name}.txt").read_text()
        assert len(text.split()) > 10, name
        assert name in shown


def test_a_reader_that_may_not_leave_the_network_still_makes_no_system_call_that_it_does_not_need(
    worker: Image,
) -> None:
    assert python(worker, _SANDBOX) == {"no_network": False, "system_call_filter": True}


def test_sigterm_lets_the_file_in_work_end(
    worker: Image, exporter: Image, working: Container, box: list[str], tmp_path: Path
) -> None:
    call(exporter, "submit", "--config", CONFIG, f"/recordings/{LONG}", options=box)

    def states() -> list[str]:
        listed = call(exporter, "status", "--config", CONFIG, "--json", options=box)
        return [record["state"] for record in json.loads(listed)]

    until(lambda: states() == ["running"], "a worker has it")
    code = working.stop(grace_s=150)

    assert code == 0
    assert [line["signal"] for line in events(working, "worker.draining")] == ["SIGTERM"]
    assert states() == ["done"]
    (transcript,) = (tmp_path / "data" / "transcripts").rglob(f"{LONG}.txt")
    assert "train" in transcript.read_text()


def test_a_worker_is_healthy_reaps_its_readers_and_ends_at_once_when_idle(
    exporter: Image, working: Container, box: list[str]
) -> None:
    assert working.healthy()
    call(exporter, "submit", "--config", CONFIG, "--wait", "/recordings/ferry-notice.wav", options=box)
    main = psutil.Process(int(working.state()["Pid"]))
    assert main.cmdline()[1:] == ["/opt/transcriber-worker/bin/transcriber-worker", "run", "--config", CONFIG]

    def unreaped() -> list[psutil.Process]:
        return [child for child in main.children(recursive=True) if child.status() == psutil.STATUS_ZOMBIE]

    until(lambda: not unreaped(), "no reader is left as a zombie")
    assert working.stop(grace_s=30) == 0


def test_a_worker_that_does_not_answer_is_not_healthy(worker: Image, box: list[str], models: str) -> None:
    with running(worker, options=[*box, models, "--env=TRANSCRIBER__OBSERVABILITY__HTTP_PORT=0"]) as container:
        until(lambda: events(container, "worker.ready"), "the worker is ready")
        assert not container.healthy()


def test_the_exporter_tells_the_backlog_and_knows_every_command_without_an_engine(
    exporter: Image, box: list[str]
) -> None:
    port = next(option.rpartition("=")[2] for option in box if "EXPORTER__HTTP_PORT" in option)
    for name in ("ferry-notice.wav", "water-meter.wav"):
        call(exporter, "submit", "--config", CONFIG, f"/recordings/{name}", options=box)
    with running(exporter, options=box) as container:

        def waiting() -> int:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/backlog", timeout=5) as answer:
                    return int(json.load(answer)["waiting"])
            except OSError:
                return 0

        until(lambda: waiting() == 2, "two messages are told")
        assert container.healthy()
        assert container.stop(grace_s=30) == 0
    listed = call(exporter, "dlq", "list", "--config", CONFIG, options=box)
    assert "attempts" in listed
    checked = call(exporter, "check-config", "--config", CONFIG, options=[*box, "--env=TRANSCRIBER__MODEL__NAME=fake"])
    assert "good" in checked


def test_a_baked_model_needs_neither_network_nor_volume_for_models(
    base_image: str, model: Path, exporter: Image, box: list[str], tmp_path: Path
) -> None:
    baked = build("worker-model", base_image, "--build-arg", "MODEL=base", "--build-context", f"models={model}")
    call(exporter, "submit", "--config", CONFIG, "/recordings/ferry-notice.wav", options=box)
    call(baked, "run", "--config", CONFIG, "--exit-when-idle", options=box, network="none")
    (transcript,) = (tmp_path / "data" / "transcripts").rglob("ferry-notice.wav.txt")
    assert "ferry" in transcript.read_text()
