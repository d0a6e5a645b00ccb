"""`submit` with a whole backlog: prefixes, manifests, and the same command once more."""

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import settings_fields
from tests.unit.cli.conftest import Answer, Terminal
from tests.workbench import Workbench
from transcriber_worker.brokers.directory import DirectoryBroker
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.observability.labels import Ending


def recordings(bench: Workbench, *names: str) -> str:
    """Recordings that workers may read; returns the prefix that they lie below."""
    folder = bench.folder / "spool" / "audio" / "night"
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    return f"file://{folder}/"


def names(answer: Answer) -> list[str]:
    """What was sent, or would be."""
    return [line.split("  ", 1)[1] for line in answer.out.splitlines()]


def requests(bench: Workbench) -> list[dict[str, Any]]:
    """The requests that wait, in the order of their sources."""
    deliveries = bench.broker.receive(100, 0.0)
    found = [json.loads(delivery.message.body) for delivery in deliveries]
    return sorted(found, key=lambda request: str(request["source"]))


def test_a_prefix_is_all_that_lies_below_it(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "b.wav", "a.wav", "deep/c.mp3")
    answer = terminal.call("submit", prefix, "--language", "pt")
    assert answer.code == ExitCode.OK
    assert names(answer) == ["night/a.wav", "night/b.wav", "night/deep/c.mp3"]
    assert answer.err == "3 sent\n"
    assert [request["language"] for request in requests(bench)] == ["pt"] * 3


@pytest.mark.parametrize("local", [True, False], ids=["folder", "prefix"])
def test_a_pattern_chooses_among_names(terminal: Terminal, bench: Workbench, local: bool) -> None:
    prefix = recordings(bench, "a.wav", "notes.txt", "deep/b.wav")
    folder = Path("calls")
    for name in ("a.wav", "notes.txt", "deep/b.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")
    answer = terminal.call("submit", folder if local else prefix, "--match", "*.wav")
    assert [Path(name).name for name in names(answer)] == ["a.wav", "b.wav"]


def test_the_workers_own_files_below_a_prefix_are_no_recordings(terminal: Terminal, bench: Workbench) -> None:
    calls = bench.folder / "calls"
    for name in ("a.wav", "texts/a.wav.json"):
        (calls / name).parent.mkdir(parents=True, exist_ok=True)
        (calls / name).write_bytes(b"1")
    storage = {"allowed_sources": [str(calls)], "output": str(calls / "texts")}
    terminal.config.write_text(yaml.safe_dump(settings_fields(bench.folder, storage=storage)))
    assert names(terminal.call("submit", f"file://{calls}/")) == ["a.wav"]


def test_a_rate_is_kept(terminal: Terminal, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = recordings(bench, "a.wav", "b.wav", "c.wav")
    pauses: list[float] = []

    def noted(clock: SystemClock, event: threading.Event, timeout_s: float) -> bool:
        pauses.append(timeout_s)
        return False

    monkeypatch.setattr(SystemClock, "wait", noted)
    terminal.call("submit", prefix, "--rate", "0.5")
    assert [round(pause_s) for pause_s in pauses if pause_s > 0] == [2, 4], "two of them, between three requests"


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("file:///etc/", "source_not_allowed"),
        ("oci://recordings@elsewhere/", "source_not_allowed"),
        ("https://host/calls/", "can't be listed"),
        ("nonsense://calls/", "unknown scheme"),
    ],
)
def test_a_prefix_that_workers_may_not_read_is_refused_as_a_whole(
    terminal: Terminal, bench: Workbench, prefix: str, reason: str
) -> None:
    answer = terminal.call("submit", prefix)
    assert answer.code == ExitCode.JOB_FAILED
    assert reason in answer.err
    assert bench.queue_is_empty()


def test_what_workers_write_is_not_what_they_may_be_told_to_read(terminal: Terminal, bench: Workbench) -> None:
    (bench.folder / "transcripts").mkdir(exist_ok=True)
    for name in ("a.wav", "b.wav"):
        (bench.folder / "transcripts" / name).write_bytes(b"1")
    answer = terminal.call("submit", f"file://{bench.folder}/transcripts/")
    assert answer.err.count("source_not_allowed") == 1, "of the prefix, not of each file in it"


@pytest.mark.parametrize("match", [None, "*.mp3"])
def test_a_prefix_without_recordings_is_told(terminal: Terminal, bench: Workbench, match: str | None) -> None:
    prefix = recordings(bench, *(["a.wav"] if match else []))
    answer = terminal.call("submit", prefix, *(["--match", match] if match else []))
    assert answer.code == ExitCode.JOB_FAILED
    assert "there are no files" in answer.err


def test_a_manifest_holds_sources_and_requests(
    terminal: Terminal, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = recordings(bench, "a.wav", "b.wav", "c.wav")
    Path("local.wav").write_bytes(b"1")
    own = {"version": 1, "source": f"{prefix}b.wav", "id": "call-2", "language": "de"}
    lines = f"{prefix}a.wav\n\n{json.dumps(own)}\nlocal.wav\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    answer = terminal.call("submit", "--from", "-", "--language", "pt", "--format", "txt")
    assert (answer.code, answer.err) == (ExitCode.OK, "3 sent\n")
    assert names(answer) == ["night/a.wav", "night/b.wav", "local.wav"]
    by_name = {Path(request["source"]).name: request for request in requests(bench)}
    assert by_name["b.wav"] == {**own, "formats": ["txt"]}
    assert by_name["a.wav"]["language"] == by_name["local.wav"]["language"] == "pt"


def test_one_source_with_two_outputs_is_two_jobs(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "a.wav")
    places = [f"file://{bench.folder}/transcripts/{name}/" for name in ("one", "two", "two")]
    lines = [json.dumps({"source": f"{prefix}a.wav", "output": place}) for place in places]
    Path("night.jsonl").write_text("\n".join(lines))
    assert len(names(terminal.call("submit", "--from", "night.jsonl"))) == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{broken", "no JSON"),
        ('{"source": "oci://b@n/a", "colour": "red"}', "unknown key 'colour'"),
        ('{"language": "pt"}', "source"),
        ('{"source": "oci://b@n/a", "version": 2}', "newer"),
    ],
)
def test_of_a_manifest_with_a_wrong_line_nothing_is_sent(
    terminal: Terminal, bench: Workbench, line: str, told: str
) -> None:
    prefix = recordings(bench, "a.wav")
    Path("night.txt").write_text(f"{prefix}a.wav\n{line}\n")
    answer = terminal.call("submit", "--from", "night.txt")
    assert answer.code == ExitCode.JOB_FAILED
    assert "line 2 of night.txt" in answer.err
    assert told in answer.err
    assert bench.queue_is_empty()


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_manifest_that_says_nothing_is_told(terminal: Terminal, content: bytes | None) -> None:
    if content is not None:
        Path("night.txt").write_bytes(content)
    answer = terminal.call("submit", "--from", "night.txt")
    assert answer.code == ExitCode.JOB_FAILED
    assert "night.txt" in answer.err


def test_standard_input_that_is_no_text_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9.wav\n"), encoding="utf-8"))
    answer = terminal.call("submit", "--from", "-")
    assert answer.code == ExitCode.JOB_FAILED
    assert "the manifest standard input can't be read" in answer.err


def test_a_byte_order_mark_is_no_part_of_the_first_line(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "a.wav")
    Path("night.txt").write_text(f"{prefix}a.wav\n", encoding="utf-8-sig")
    assert names(terminal.call("submit", "--from", "night.txt")) == ["night/a.wav"]


def test_a_dry_run_shows_one_line_a_file_whatever_its_name(terminal: Terminal, bench: Workbench) -> None:
    Path("odd").mkdir()
    for name in (b"new\nline.wav", b"latin-\xe9.wav"):
        (Path("odd") / os.fsdecode(name)).write_bytes(b"1")
    dry = names(terminal.call("submit", "--dry-run", "odd"))
    assert dry == names(terminal.call("submit", "odd")) == ["odd/latin-%E9.wav", "odd/new%0Aline.wav"]


def test_a_backlog_sent_again_is_transcribed_once(terminal: Terminal, bench: Workbench) -> None:
    """By the jobs' own identity: nobody has to remember anything."""
    prefix = recordings(bench, "a.wav", "b.wav")
    for _ in range(2):
        assert len(names(terminal.call("submit", prefix))) == 2
    endings = [bench.attend().ending for _ in range(4)]
    assert sorted(ending.value for ending in endings if ending) == ["already_done"] * 2 + ["completed"] * 2


def test_once_sends_what_it_has_not_sent_before_and_tells_the_rest_by_state(
    terminal: Terminal, bench: Workbench
) -> None:
    prefix = recordings(bench, "a.wav", "b.wav")
    assert terminal.call("submit", "--once", prefix).err == "2 sent\n"
    assert bench.attend().ending is Ending.COMPLETED
    recordings(bench, "c.wav")
    answer = terminal.call("submit", "--once", prefix)
    assert answer.code == ExitCode.OK
    assert names(answer) == ["night/c.wav"]
    assert answer.err == "1 sent, 2 sent before (1 done, 1 queued)\n"
    assert len(requests(bench)) == 2, "b and c wait, each once"


def test_once_goes_on_after_a_broker_that_failed(
    terminal: Terminal, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted down, but never sent, is sent by the next run."""
    prefix = recordings(bench, "a.wav", "b.wav", "c.wav")
    publish, calls = DirectoryBroker.publish, []

    def fail_second(broker: DirectoryBroker, body: bytes, headers: dict[str, str]) -> str:
        calls.append(body)
        if len(calls) == 2:
            raise EnvironmentDown("the broker is down")
        return publish(broker, body, headers)

    monkeypatch.setattr(DirectoryBroker, "publish", fail_second)
    broken = terminal.call("submit", "--once", prefix)
    assert broken.code == ExitCode.UNAVAILABLE
    assert "1 sent\n" in broken.err
    answer = terminal.call("submit", "--once", prefix)
    assert names(answer) == ["night/b.wav", "night/c.wav"]
    assert answer.err == "2 sent, 1 sent before (1 queued)\n"
    assert len(requests(bench)) == 3


def test_a_dry_run_shows_the_jobs_and_sends_nothing(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "a.wav", "b.wav")
    Path("local.wav").write_bytes(b"1")
    dry = terminal.call("submit", "--dry-run", "local.wav", prefix)
    assert names(dry) == ["local.wav", "night/a.wav", "night/b.wav"]
    assert dry.err == "3 would be sent\n"
    assert bench.queue_is_empty()
    assert list(bench.records.all()) == []
    assert not (bench.folder / "spool" / "audio" / "local.wav").exists()
    terminal.call("submit", "--once", f"{prefix}a.wav")
    later = terminal.call("submit", "--dry-run", "--once", prefix)
    assert later.err == "1 would be sent, 1 sent before (1 queued)\n"
    assert later.out == dry.out.splitlines(keepends=True)[2], "with the very id that it gets"


def test_a_dry_run_refuses_what_would_be_refused(terminal: Terminal, bench: Workbench) -> None:
    answer = terminal.call("submit", "--dry-run", "missing.wav", "file:///etc/passwd")
    assert answer.code == ExitCode.JOB_FAILED
    assert answer.err.endswith("0 would be sent, 2 refused\n")


def test_a_limit_counts_what_is_sent_now(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "a.wav", "b.wav", "c.wav")
    for name in ("a", "b", "c"):
        assert names(terminal.call("submit", "--once", "--limit", "1", prefix)) == [f"night/{name}.wav"]
    assert names(terminal.call("submit", "--once", "--limit", "1", prefix)) == []


@pytest.mark.parametrize("option", [("--limit", "0"), ("--limit", "1.5"), ("--rate", "0"), ("--rate", "inf")])
def test_numbers_that_mean_nothing_are_a_wrong_command_line(terminal: Terminal, option: tuple[str, ...]) -> None:
    assert terminal.call("submit", "a.wav", *option).code == ExitCode.USAGE


def test_a_request_of_a_backlog_that_is_refused_does_not_hold_up_the_rest(terminal: Terminal, bench: Workbench) -> None:
    prefix = recordings(bench, "a.wav", "b.wav")
    job_id = terminal.call("submit", "--dry-run", f"{prefix}a.wav").out.split()[0]
    terminal.call("submit", "--once", f"{prefix}a.wav")
    record = bench.folder / "transcripts" / ".state" / "jobs" / f"{job_id}.json"
    record.write_text("{broken")
    answer = terminal.call("submit", "--once", prefix)
    assert answer.code == ExitCode.JOB_FAILED
    assert names(answer) == ["night/b.wav"]
    assert answer.err.endswith("1 sent, 1 refused\n")
