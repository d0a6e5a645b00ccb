"""`submit`, `status`, `cancel`."""

import json
from pathlib import Path

import pytest
import yaml

from tests.builders import settings_fields
from tests.unit.cli.conftest import Terminal
from tests.workbench import Workbench
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.job import Format
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.claims import Claim
from transcriber_worker.pipeline.records import JobState


def files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")


def submitted(out: str) -> dict[str, str]:
    """Name -> job id, as `submit` prints them."""
    return {name: id_ for id_, name in (line.split("  ", 1) for line in out.splitlines())}


def test_files_and_folders_are_submitted_and_told_by_job_id(terminal: Terminal, bench: Workbench) -> None:
    files(Path(), "a.wav", "calls/b.wav", "calls/.hidden", "calls/deep/c.wav")
    answer = terminal.call("submit", "a.wav", "calls")
    assert (answer.code, answer.err) == (ExitCode.OK, "")
    jobs = submitted(answer.out)
    assert set(jobs) == {"a.wav", "calls/b.wav", "calls/deep/c.wav"}
    for name, job_id in jobs.items():
        assert bench.attend().ending is Ending.COMPLETED
        found = bench.records.find(job_id)
        assert found is not None
        assert found.record.name == name
    assert (bench.folder / "transcripts" / "calls" / "deep" / "c.wav.json").is_file()


def test_request_options_reach_the_worker(terminal: Terminal, bench: Workbench) -> None:
    files(Path(), "a.wav")
    options = (
        "--id", "call-4711", "--language", "pt", "--task", "translate", "--format", "srt", "--format", "txt",
        "--word-timestamps", "--channels", "split", "--clip", "1", "2.5", "--prompt", "Olá.", "--hotword", "Zürich",
        "--hotword", "Genève", "--speed", "1.5", "--priority", "high", "--deadline-s", "60", "--reply-to", "answers",
        "--attribute", "tenant=a=b", "--attribute", "empty=",
    )  # fmt: skip
    assert terminal.call("submit", "a.wav", *options).code == ExitCode.OK
    request = json.loads(bench.delivery().message.body)
    del request["source"]
    assert request == {
        "version": 1,
        "id": "call-4711",
        "language": "pt",
        "task": "translate",
        "formats": ["srt", "txt"],
        "word_timestamps": True,
        "channels": "split",
        "clip": {"start_s": 1.0, "end_s": 2.5},
        "prompt": "Olá.",
        "hotwords": ["Zürich", "Genève"],
        "speed": 1.5,
        "priority": "high",
        "deadline_s": 60.0,
        "reply_to": "answers",
        "attributes": {"tenant": "a=b", "empty": ""},
    }


def test_languages_to_choose_among(terminal: Terminal, bench: Workbench) -> None:
    files(Path(), "a.wav")
    terminal.call("submit", "a.wav", "--languages", "pt", "en")
    assert json.loads(bench.delivery().message.body)["languages"] == ["pt", "en"]


@pytest.mark.parametrize("attribute", ["tenant", "=a", ""])
def test_an_attribute_without_key_and_value_is_a_wrong_command_line(terminal: Terminal, attribute: str) -> None:
    answer = terminal.call("submit", "a.wav", "--attribute", attribute)
    assert answer.code == ExitCode.USAGE
    assert "KEY=VALUE" in answer.err


def test_two_files_of_one_name_are_refused_together_and_nothing_is_sent(terminal: Terminal, bench: Workbench) -> None:
    files(bench.folder, "a/x.wav", "b/x.wav")
    answer = terminal.call("submit", bench.folder / "a" / "x.wav", bench.folder / "b" / "x.wav")
    assert answer.code == ExitCode.JOB_FAILED
    assert "both be called x.wav" in answer.err
    assert bench.queue_is_empty()


def test_what_is_refused_does_not_hold_up_the_rest(terminal: Terminal, bench: Workbench) -> None:
    files(Path(), "a.wav")
    answer = terminal.call("submit", "missing.wav", "a.wav", "file:///etc/passwd", "https://host/p/secret/x.wav")
    assert answer.code == ExitCode.JOB_FAILED
    assert set(submitted(answer.out)) == {"a.wav"}
    assert "missing.wav: source_not_found" in answer.err
    assert "file:///etc/passwd: source_not_allowed" in answer.err
    assert "secret" not in answer.err
    assert bench.attend().ending is Ending.COMPLETED


@pytest.mark.parametrize("option", [("--language", "portuguese"), ("--speed", "9"), ("--clip", "5", "1")])
def test_an_option_that_no_worker_would_take_is_refused(terminal: Terminal, option: tuple[str, ...]) -> None:
    files(Path(), "a.wav")
    answer = terminal.call("submit", "a.wav", *option)
    assert answer.code == ExitCode.JOB_FAILED
    assert option[0].removeprefix("--") in answer.err


def test_one_id_names_one_request(terminal: Terminal, bench: Workbench) -> None:
    files(Path(), "a.wav", "b.wav")
    answer = terminal.call("submit", "--id", "call", "a.wav", "b.wav")
    assert answer.code == ExitCode.JOB_FAILED
    assert bench.queue_is_empty()


def test_a_folder_without_files_is_told(terminal: Terminal) -> None:
    Path("empty").mkdir()
    answer = terminal.call("submit", "empty")
    assert answer.code == ExitCode.JOB_FAILED
    assert "no files" in answer.err


def test_a_uri_below_an_allowed_source_is_submitted(terminal: Terminal, bench: Workbench) -> None:
    audio = bench.folder / "spool" / "audio" / "a.wav"
    audio.write_bytes(b"1")
    assert set(submitted(terminal.call("submit", f"file://{audio}").out)) == {"a.wav"}
    assert bench.attend().ending is Ending.COMPLETED


def test_a_spool_behind_a_symlink_is_one_spool(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fields = settings_fields(tmp_path, broker={"directory": {"path": str(tmp_path / "link" / "spool")}})
    terminal.config.write_text(yaml.safe_dump(fields))
    files(Path(), "a.wav")
    assert terminal.call("submit", "a.wav").err == ""


def test_status_of_no_jobs_is_an_empty_table(terminal: Terminal) -> None:
    assert terminal.call("status").code == ExitCode.OK
    assert json.loads(terminal.call("status", "--json").out) == []


def test_status_shows_all_jobs_whole_ids_first_request_first(terminal: Terminal, bench: Workbench) -> None:
    first = bench.submit(b"1", "[red]b.wav")
    bench.clock.advance(1)
    second = bench.submit(b"unreadable", "a[/red].wav")
    bench.attend()
    answer = terminal.call("status")
    lines = [line for line in answer.out.splitlines() if ".wav" in line]
    assert [one.job.id in line for one, line in zip((first, second), lines, strict=True)] == [True, True]
    assert "[red]b.wav" in lines[0]
    assert "done" in lines[0]
    assert "queued" in lines[1]
    assert {record["job_id"] for record in json.loads(terminal.call("status", "--json").out)} == {
        first.job.id,
        second.job.id,
    }


def test_status_finds_a_job_by_its_own_id_and_by_its_requests(terminal: Terminal, bench: Workbench) -> None:
    one = bench.submit(id="call-4711")
    bench.attend()
    for id_ in (one.job.id, "call-4711"):
        answer = terminal.call("status", id_)
        assert answer.code == ExitCode.OK
        assert one.job.id in answer.out
        assert "done" in answer.out
        assert str(one.job.output_for(Format.JSON)) in answer.out
        assert json.loads(terminal.call("status", "--json", id_).out)["state"] == "done"


def test_status_tells_why_a_job_is_dead(terminal: Terminal, bench: Workbench) -> None:
    one = bench.submit(b"unreadable")
    bench.attend()
    assert "media_unreadable: no demuxer knows this file" in terminal.call("status", one.job.id).out


def test_status_tells_a_running_job_from_one_whose_worker_has_gone(terminal: Terminal, bench: Workbench) -> None:
    one = bench.submit()
    claim = bench.claims().acquire(one.job, bench.delivery().message, None, alone=False)
    assert isinstance(claim, Claim)
    assert "gone silent" not in terminal.call("status", one.job.id).out
    bench.clock.advance(-2 * bench.settings.worker.lease_s)
    claim.renew()
    assert "running (its worker has gone silent)" in terminal.call("status", one.job.id).out


@pytest.mark.parametrize("command", ["status", "cancel"])
@pytest.mark.parametrize("id_", ["0a" * 16, "call-4711", "../x", "x" * 5000, ""])
def test_an_unknown_job_is_told(terminal: Terminal, command: str, id_: str) -> None:
    answer = terminal.call(command, id_)
    assert answer.code == ExitCode.NOT_FOUND
    assert "there is no job" in answer.err


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_a_broken_record_is_told_in_one_line_and_left_alone(terminal: Terminal, bench: Workbench, command: str) -> None:
    one = bench.submit()
    record = bench.folder / "transcripts" / ".state" / "jobs" / f"{one.job.id}.json"
    record.write_text("{broken")
    answer = terminal.call(command, one.job.id)
    assert answer.code == ExitCode.ERROR
    assert len(answer.err.splitlines()) == 1
    assert one.job.id in answer.err
    assert record.read_text() == "{broken"


@pytest.mark.parametrize("by", ["job", "request"])
def test_a_queued_job_is_cancelled(terminal: Terminal, bench: Workbench, by: str) -> None:
    one = bench.submit(id="call-4711")
    answer = terminal.call("cancel", one.job.id if by == "job" else "call-4711")
    assert (answer.code, answer.out) == (ExitCode.OK, f"job {one.job.id} will be stopped\n")
    assert terminal.call("cancel", one.job.id).code == ExitCode.OK
    assert bench.attend().ending is Ending.CANCELLED
    assert bench.record(one).state is JobState.CANCELLED


def test_a_running_job_is_cancelled(terminal: Terminal, bench: Workbench) -> None:
    one = bench.submit()
    bench.claims().acquire(one.job, bench.delivery().message, None, alone=False)
    assert terminal.call("cancel", one.job.id).code == ExitCode.OK
    assert bench.record(one).state is JobState.CANCELLING


@pytest.mark.parametrize(("content", "state"), [(b"1", "done"), (b"unreadable", "dead")])
def test_a_job_that_has_ended_can_not_be_cancelled(
    terminal: Terminal, bench: Workbench, content: bytes, state: str
) -> None:
    one = bench.submit(content)
    bench.attend()
    answer = terminal.call("cancel", one.job.id)
    assert answer.code == ExitCode.NOT_FOUND
    assert f"is {state} already" in answer.err
