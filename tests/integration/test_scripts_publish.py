"""`scripts/publish.py`, a producer without this package, beside `submit`: real brokers, real workers."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.oci_stacks import KafkaStack, QueueStack
from tests.chaos.standing import standing
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.observability import events
from transcriber_worker.settings import ENV_PREFIX

SCRIPT = Path(__file__).parents[2] / "scripts" / "publish.py"
ALONE = """
import runpy, sys
sys.modules["transcriber_worker"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script as on a machine where the package is not installed."""
PATIENCE_S = 120.0
OciStack = KafkaStack | QueueStack
Done = subprocess.CompletedProcess[str]


@pytest.fixture(params=["kafka", "oci_queue"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OciStack]:
    logging.getLogger("confluent_kafka").addHandler(logging.NullHandler())
    with standing(request.param, tmp_path, lambda: nullcontext(request.getfixturevalue("kafka"))) as stack:
        assert isinstance(stack, KafkaStack | QueueStack)
        yield stack


def place(stack: OciStack) -> list[str]:
    """Where the script is to publish."""
    fields = stack.fields()
    if isinstance(stack, KafkaStack):
        kafka = fields["broker"]["kafka"]
        return ["kafka", kafka["bootstrap_servers"], kafka["topic"]]
    queue = fields["broker"]["oci_queue"]["queue_id"]
    return ["oci-queue", queue, stack.emulator.url, "--config-file", fields["oci"]["config_file"]]


def publish(words: list[str], lines: str) -> Done:
    command = [sys.executable, "-c", ALONE, str(SCRIPT), *words]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def submit(deployment: Deployment, *words: str) -> Done:
    own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    command = [sys.executable, "-m", "transcriber_worker", "submit", "--config", str(deployment.root / "worker-1.yaml")]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=own, timeout=PATIENCE_S)


def finished(deployment: Deployment) -> list[str]:
    return sorted(line["outcome"] for line in deployment.lines(events.JOB_FINISHED))


def test_what_was_published_twice_is_transcribed_once(stack: OciStack, tmp_path: Path) -> None:
    with deployed(tmp_path, stack) as deployment:
        plain, asked = (deployment.shelve(BRIEF, name) for name in ("night/plain.wav", "night/asked.wav"))
        lines = f"{plain}\n\n{json.dumps({'source': str(asked), 'id': 'call-2', 'formats': ['txt']})}\n"
        first, second = publish(place(stack), lines), publish(place(stack), lines)
        assert first.returncode == second.returncode == 0, first.stderr + second.stderr
        ids = first.stdout.split()
        assert len(ids) == 2
        assert "call-2" in ids
        assert sorted(second.stdout.split()) == sorted(ids), "the same line is the same request"
        deployment.start()
        until(lambda: len(finished(deployment)) == 4, "four messages attended to")
        assert finished(deployment) == ["already_done", "already_done", "completed", "completed"]
        assert {name for name in deployment.outputs() if "asked" in name} == {
            "night/asked.wav.json",
            "night/asked.wav.txt",
        }
        assert all(deployment.office.records.find(id_) for id_ in ids)


def test_a_whole_prefix_of_a_bucket_is_submitted_once(stack: OciStack, tmp_path: Path) -> None:
    with deployed(tmp_path, stack) as deployment:
        sources = [deployment.shelve(BRIEF, f"night/{name}.wav") for name in "abc"]
        deployment.shelve(BRIEF, "elsewhere/d.wav")
        prefix = str(sources[0]).removesuffix("a.wav")
        deployment.start()
        first = submit(deployment, "--once", "--wait", prefix)
        assert first.returncode == ExitCode.OK, first.stderr
        assert "3 sent\n" in first.stderr
        again = submit(deployment, "--once", prefix)
        assert again.stderr == "0 sent, 3 sent before (3 done)\n"
        assert finished(deployment) == ["completed"] * 3
        assert {name for name in deployment.outputs() if name.endswith(".json")} == {
            f"night/{name}.wav.json" for name in "abc"
        }


def test_a_whole_night_is_published_in_batches(stack: OciStack) -> None:
    lines = "".join(f"oci://recordings@ns/{number}.wav\n" for number in range(45))
    done = publish(place(stack), lines)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 45
    assert len(stack.left()) == 45


def test_what_a_service_does_not_take_is_told(stack: OciStack, tmp_path: Path) -> None:
    words = place(stack)
    if isinstance(stack, KafkaStack):
        properties = tmp_path / "client.properties"
        properties.write_text("message.timeout.ms=1000\n# to nobody\nbootstrap.servers=127.0.0.1:9\n")
        words += ["--properties", str(properties)]
    else:
        words[1] = "ocid1.queue.oc1..nobody"
    done = publish(words, "oci://recordings@ns/a.wav\noci://recordings@ns/b.wav\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "not taken: 2 of 2" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{broken", "line 2 is no JSON"),
        ('{"language": "pt"}', "line 2 names no source"),
        ('{"source": 5}', "line 2 names no source"),
    ],
)
def test_of_lines_that_are_no_requests_nothing_is_published(line: str, told: str) -> None:
    done = publish(["kafka", "127.0.0.1:9", "jobs"], f"oci://recordings@ns/a.wav\n{line}\n")
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("properties", "told"),
    [(None, "No such file"), ("#acks=0\nsecurity.protocl=PLAINTEXT\nsasl.password=hunter2\n", "security.protocl")],
)
def test_settings_that_are_none_are_told_without_a_secret(tmp_path: Path, properties: str | None, told: str) -> None:
    file = tmp_path / "client.properties"
    if properties is not None:
        file.write_text(properties)
    done = publish(["kafka", "127.0.0.1:9", "jobs", "--properties", str(file)], "oci://recordings@ns/a.wav\n")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_credentials_that_are_not_there_are_told(tmp_path: Path) -> None:
    words = ["oci-queue", "ocid1.queue", "https://127.0.0.1:9", "--config-file", str(tmp_path / "none")]
    done = publish(words, "oci://recordings@ns/a.wav\n")
    assert done.returncode == 2
    assert "Could not find config file" in done.stderr
    assert "Traceback" not in done.stderr
