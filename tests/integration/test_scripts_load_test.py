"""`scripts/load-test.py` against real workers on every broker."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import write_wav
from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.oci_stacks import EmulatedStore, QueueStack
from tests.chaos.stacks import Stack
from tests.chaos.standing import NAMES, standing
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.settings import ENV_PREFIX

SCRIPT = Path(__file__).parents[2] / "scripts" / "load-test.py"
PATIENCE_S = 120.0


@pytest.fixture(params=NAMES)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    logging.getLogger("confluent_kafka").addHandler(logging.NullHandler())
    with standing(request.param, tmp_path, lambda: nullcontext(request.getfixturevalue("kafka"))) as stack:
        yield stack


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        yield deployment


class Run:
    """The script as a process of its own, with the settings that the workers have."""

    def __init__(self, deployment: Deployment, *words: str | Path) -> None:
        config = deployment.root / "worker-1.yaml"
        if not config.exists():  # no worker was started
            config.write_text(yaml.safe_dump(json.loads(deployment.office.settings.model_dump_json())))
        self.json = deployment.root / "report.json"
        command = [sys.executable, str(SCRIPT), "--config", str(config), "--json", str(self.json), *map(str, words)]
        own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        self.process = subprocess.Popen(
            command, env=own, cwd=deployment.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ended(self, code: ExitCode) -> tuple[str, str]:
        """Wait for its end; returns what it said."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == code, f"{out}\n{err}"
        return out, err

    @property
    def report(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.json.read_text())
        return found


def source(deployment: Deployment, *recordings: Path) -> str | Path:
    """Recordings for a test: a folder where local files have a place, else a prefix of the bucket."""
    if isinstance(deployment.stack, EmulatedStore):
        (prefix, *_) = {
            str(deployment.shelve(path, f"sample/{path.name}")).rpartition("/")[0] + "/" for path in recordings
        }
        return prefix
    folder = deployment.root / "sample"
    folder.mkdir()
    for path in recordings:
        (folder / path.name).symlink_to(path)
    return folder


def states(deployment: Deployment) -> list[str]:
    return sorted(found.record.state.value for found in deployment.office.records.all())


def test_every_job_is_counted_on_every_broker_and_cleaned_up(stack: Stack, tmp_path: Path) -> None:
    with deployed(tmp_path, stack) as deployment:
        for _ in range(2):
            deployment.start()
        run = Run(deployment, source(deployment, BRIEF), "--jobs", "12", "--clean", "--looks-per-s", "20")
        out, _ = run.ended(ExitCode.OK)
        report = run.report
        assert (report["jobs"], report["done"], report["unfinished"], report["failed"]) == (12, 12, 0, {})
        assert sum(report["jobs_by_worker"].values()) == 12
        assert set(report["jobs_by_worker"]) <= {"worker-1", "worker-2"}
        assert report["audio_s"] == pytest.approx(12 * 8.5, abs=1.0)
        assert 0 < report["latency_s"]["p50"] <= report["latency_s"]["max"] <= report["wall_s"]
        assert report["stages_s"]["read"] > 0
        assert "files per minute" in out
        until(lambda: not deployment.messages(), "every message is settled")
        assert deployment.outputs() == {}
        assert states(deployment) == []


def test_local_recordings_are_uploaded_for_the_test_only(tmp_path: Path) -> None:
    with standing("oci_queue", tmp_path) as stack:
        assert isinstance(stack, QueueStack)
        bucket = stack.fields()["storage"]["allowed_sources"][0]
        with deployed(tmp_path, stack, storage={"uploads": bucket}) as deployment:
            deployment.start()
            run = Run(deployment, BRIEF, "--jobs", "2", "--clean")
            run.ended(ExitCode.OK)
            assert run.report["done"] == 2
            assert stack.emulator.list_objects(ObjectUri.parse(bucket).authority.partition("@")[0]) == []


def test_failures_are_told_by_their_reason_and_cleaned_up(spool: Deployment) -> None:
    spool.start()
    bad = spool.root / "bad.mp3"
    bad.write_text("no audio")
    run = Run(spool, source(spool, BRIEF, bad), "--jobs", "4", "--clean")
    out, _ = run.ended(ExitCode.JOB_FAILED)
    assert (run.report["done"], run.report["failed"]) == (2, {"media_unreadable": 2})
    assert "failed: 2 media_unreadable" in out
    assert spool.letters() == {}
    assert states(spool) == []
    assert not list((spool.spool / "audio").rglob("*.*")), "what was put there for the test is gone"


def test_without_clean_the_transcripts_stay_below_the_run(spool: Deployment) -> None:
    spool.start()
    run = Run(spool, source(spool, BRIEF), "--jobs", "2", "--request", '{"formats": ["txt"]}')
    run.ended(ExitCode.OK)
    below = f"load-tests/{run.report['run']}"
    assert {name.rpartition(".")[2] for name in spool.outputs()} == {"json", "txt"}
    assert all(name.startswith((f"{below}/000001/", f"{below}/000002/")) for name in spool.outputs())


def test_a_run_is_compared_with_an_earlier_one(spool: Deployment, tmp_path: Path) -> None:
    spool.start()
    sample, before = source(spool, BRIEF), tmp_path / "before.json"
    first = Run(spool, sample, "--jobs", "2")
    first.ended(ExitCode.OK)
    first.json.rename(before)
    same, _ = Run(spool, sample, "--jobs", "2", "--baseline", before).ended(ExitCode.OK)
    other, _ = Run(spool, sample, "--jobs", "3", "--baseline", before).ended(ExitCode.OK)
    assert "now / baseline" in same
    assert "not the same load" not in same
    assert "not the same load: jobs: 3, baseline 2" in other


def test_a_baseline_that_is_none_is_told_before_anything_is_sent(spool: Deployment, tmp_path: Path) -> None:
    (tmp_path / "before.json").write_text("{}")
    _, err = Run(spool, source(spool, BRIEF), "--baseline", tmp_path / "before.json").ended(ExitCode.JOB_FAILED)
    assert "before.json can't be read" in err
    assert states(spool) == []


@pytest.mark.parametrize(("number", "leave"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_interrupted_it_cancels_what_is_left_unless_told_to_leave_it(
    spool: Deployment, number: signal.Signals, leave: bool
) -> None:
    run = Run(spool, source(spool, BRIEF), "--jobs", "3", *(["--leave"] if leave else []))
    until(lambda: len(spool.messages()) == 3, "all are published, and there is no worker")
    run.process.send_signal(number)
    _, err = run.ended(ExitCode.INTERRUPTED)
    assert run.report["unfinished"] == 3
    assert states(spool) == [JobState.QUEUED if leave else JobState.CANCELLING] * 3
    assert ("3 jobs had not ended and were cancelled" in err) is not leave


def test_an_interrupted_run_cleans_what_has_ended_only(spool: Deployment) -> None:
    """A record that is removed while its message waits would let the job begin anew."""
    run = Run(spool, source(spool, BRIEF), "--jobs", "2", "--clean", "--patience-s", "1")
    run.ended(ExitCode.JOB_FAILED)
    assert states(spool) == [JobState.CANCELLING] * 2
    spool.start()
    until(lambda: states(spool) == [JobState.CANCELLED] * 2, "the workers stop them")
    assert spool.outputs() == {}


@pytest.mark.parametrize(
    "words",
    [
        ["--request", '{"colour": "red"}'],
        ["--request", '{"output": "oci://b@n/"}'],
        ["--request", "[]"],
        ["--jobs", "0"],
        ["--rate", "0"],
        ["--baseline"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_sends_nothing(spool: Deployment, words: list[str]) -> None:
    Run(spool, BRIEF, *words).ended(ExitCode.USAGE)
    assert states(spool) == []


def test_recordings_without_a_place_for_them_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "worker.yaml"
    storage = {"output": str(tmp_path / "transcripts")}
    kafka = {"bootstrap_servers": "127.0.0.1:9", "topic": "jobs"}
    config.write_text(yaml.safe_dump({"broker": {"kind": "kafka", "kafka": kafka}, "storage": storage}))
    command = [sys.executable, str(SCRIPT), "--config", str(config), str(write_wav(tmp_path / "a.wav"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == ExitCode.JOB_FAILED
    assert "storage.uploads" in done.stderr


def test_a_place_where_no_report_can_go_is_told_before_the_run(spool: Deployment) -> None:
    spool.start()
    run = Run(spool, source(spool, BRIEF), "--json", str(spool.root / "missing" / "report.json"))
    _, err = run.ended(ExitCode.USAGE)
    assert "there is no folder" in err
    assert states(spool) == []
