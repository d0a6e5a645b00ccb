"""What the pods run, really run: with their own commands and the chart's own config, asked what Kubernetes, KEDA and
`helm test` ask."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.chaos.processes import free_port, probe, until
from tests.chart.tools import CHART, PROJECT, Document, Helm, config_of, moved, pods, the
from transcriber_worker.cli.exits import ExitCode

CONFIG_FILE = "/etc/transcriber/config/config.yaml"
VALUES: Document = {
    "config": {"model": {"name": "fake"}},  # hears nothing real, and needs no files
    "autoscaling": {"enabled": True},
    "exporter": {"enabled": True},
    "data": {"accessModes": ["ReadWriteMany"]},
}


@pytest.fixture
def release(helm: Helm) -> list[Document]:
    return helm.render(values=VALUES)


@pytest.fixture
def config(release: list[Document], tmp_path: Path) -> Path:
    """The chart's, its volumes below a folder and its ports free ones of this machine."""
    fields = moved(config_of(release), tmp_path)
    fields["observability"].update(http_host="127.0.0.1", http_port=free_port())
    fields["exporter"] = {"http_host": "127.0.0.1", "http_port": free_port(), "interval_s": 0.2}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def here(text: str, config: Path) -> str:
    """A command, or a line of a script, as it goes on this machine."""
    places = {
        CONFIG_FILE: str(config),
        "/clip/clip.ogg": str(CHART / "files" / "clip.ogg"),
        "/tmp/helm-test": f"{config.parent}/helm-test",
        "transcriber-worker submit": f"{sys.executable} -m transcriber_worker submit",
    }
    for there, place in places.items():
        text = text.replace(there, place)
    return text


@contextmanager
def running(release: list[Document], component: str, config: Path) -> Iterator[tuple[Document, int]]:
    """The container of a pod, and the port that it answers on."""
    (container,) = pods(release)[component]["spec"]["containers"]
    program, arguments = container["command"][0], [*container["command"][1:], *container.get("args", [])]
    assert program == "transcriber-worker"
    section = "observability" if component == "worker" else "exporter"
    port = yaml.safe_load(config.read_text())[section]["http_port"]
    command = [sys.executable, "-m", "transcriber_worker", *(here(one, config) for one in arguments)]
    log = config.with_name(f"{component}.log")
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=PROJECT, stderr=stderr) as process:
        try:
            until(lambda: probe(port, "/livez")[0] == 200, f"{component} answers /livez: {log}")
            yield container, port
        finally:
            process.terminate()
            assert process.wait(60) == ExitCode.OK, log.read_text()


def asked(container: Document, kind: str) -> str:
    """What the kubelet asks, at the port that the container calls http."""
    get = container[f"{kind}Probe"]["httpGet"]
    assert get["port"] in [port["name"] for port in container["ports"]]
    return str(get["path"])


def test_the_workers_probes_are_answered(release: list[Document], config: Path) -> None:
    with running(release, "worker", config) as (container, port):
        assert probe(port, asked(container, "startup"))[0] == 200
        assert probe(port, asked(container, "liveness"))[0] == 200
        until(lambda: probe(port, asked(container, "readiness"))[0] == 200, "ready")


def test_a_worker_without_credentials_is_alive_and_not_ready(helm: Helm, tmp_path: Path) -> None:
    """It pauses: to kill it would help nobody. Outside OKE nobody gives it the identity that its config names."""
    release = helm.render(("oci-queue",), {"config": {"model": {"name": "fake"}}})
    fields = moved(config_of(release), tmp_path)
    fields["broker"]["oci_queue"]["endpoint"] = f"http://127.0.0.1:{free_port()}"
    fields["oci"]["object_storage_endpoint"] = f"http://127.0.0.1:{free_port()}"
    fields["observability"].update(http_host="127.0.0.1", http_port=free_port())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(fields))

    with running(release, "worker", path) as (container, port):
        until(lambda: "credentials" in probe(port, asked(container, "readiness"))[1], "paused")
        assert probe(port, asked(container, "readiness"))[0] == 503
        assert probe(port, asked(container, "liveness"))[0] == 200


def test_the_exporter_tells_what_keda_asks(release: list[Document], config: Path) -> None:
    (trigger,) = the(release, "ScaledObject")["spec"]["triggers"]
    clips = [str(shutil.copyfile(CHART / "files" / "clip.ogg", config.with_name(name))) for name in ("a.ogg", "b.ogg")]
    submit = [sys.executable, "-m", "transcriber_worker", "submit", "--config", str(config), *clips]
    subprocess.run(submit, cwd=PROJECT, check=True, capture_output=True)
    url = urlsplit(trigger["metadata"]["url"])
    service = the(release, "Service", "-exporter")

    with running(release, "exporter", config) as (container, port):
        assert probe(port, asked(container, "liveness"))[0] == 200
        until(lambda: probe(port, asked(container, "readiness"))[0] == 200, "ready")
        status, body = probe(port, url.path)

    assert status == 200
    assert json.loads(body)[trigger["metadata"]["valueLocation"]] == 2
    assert url.hostname == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert [url.port] == [one["port"] for one in service["spec"]["ports"]]
    assert [one["targetPort"] for one in service["spec"]["ports"]] == [one["name"] for one in container["ports"]]


def test_helm_tests_clip_is_transcribed_and_waited_for(release: list[Document], config: Path) -> None:
    (container,) = the(release, "Pod", "-test")["spec"]["containers"]
    (script,) = container["args"]

    with running(release, "worker", config):
        command = [*container["command"], here(script, config)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    (transcript,) = (config.parent / "data" / "transcripts").rglob("helm-test-*.ogg.json")
    assert "segments" in transcript.read_text()
