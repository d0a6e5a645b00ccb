"""Submitting: what a command line names, checked before it is sent, and findable from that moment."""

import json
from pathlib import Path

import pytest

from tests.workbench import Workbench
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.records import JobState
from transcriber_worker.tools.submitting import Source, Submitter, find_sources


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    return folder


def names(named: list[str], base: Path, hidden: tuple[Path, ...] = ()) -> list[str]:
    return [source.name for source in find_sources(named, base, hidden)]


def test_below_the_current_directory_names_keep_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files(tmp_path, "a/x.wav", "b/x.wav", "y.wav"))
    assert names(["a/x.wav", "b", "y.wav"], tmp_path) == ["a/x.wav", "b/x.wav", "y.wav"]
    assert names(["."], tmp_path) == ["a/x.wav", "b/x.wav", "y.wav"]
    assert names([str(tmp_path / "a")], tmp_path) == ["a/x.wav"]


def test_names_never_contain_dots_that_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "in/x.wav", "work/sub/y.wav")
    monkeypatch.chdir(tmp_path / "work")
    assert names(["../in/x.wav", "sub/../sub/y.wav", "sub/.."], tmp_path / "work") == ["x.wav", "sub/y.wav"]


def test_a_folder_elsewhere_keeps_its_own_structure(tmp_path: Path) -> None:
    files(tmp_path, "in/a/x.wav", "in/b/x.wav")
    assert names([str(tmp_path / "in")], tmp_path / "work") == ["in/a/x.wav", "in/b/x.wav"]


def test_hidden_files_and_what_is_the_workers_own_are_left_out(tmp_path: Path) -> None:
    files(tmp_path, "x.wav", ".hidden.wav", ".git/y.wav", "spool/audio/x.wav", "transcripts/x.wav.json", "spool2/z.wav")
    own = (tmp_path / "spool", tmp_path / "transcripts")
    assert names([str(tmp_path)], tmp_path, own) == ["spool2/z.wav", "x.wav"]


def test_what_is_named_twice_is_sent_once(tmp_path: Path) -> None:
    files(tmp_path, "in/x.wav")
    named = [str(tmp_path / "in"), str(tmp_path / "in/x.wav"), "oci://b@n/x", "oci://b@n/x"]
    assert [source.text for source in find_sources(named, tmp_path)] == [str(tmp_path / "in/x.wav"), "oci://b@n/x"]


def test_two_files_that_would_get_one_name_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "a/x.wav", "b/x.wav")
    with pytest.raises(RejectJob) as caught:
        find_sources([str(tmp_path / "a/x.wav"), str(tmp_path / "b/x.wav")], tmp_path / "work")
    message = caught.value.message
    assert str(tmp_path / "a/x.wav") in message
    assert str(tmp_path / "b/x.wav") in message
    assert "both be called x.wav" in message


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    files(tmp_path, "in/.hidden")
    with pytest.raises(RejectJob, match="no files") as caught:
        find_sources([str(tmp_path / "in")], tmp_path)
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND


def test_a_submitted_file_is_transcribed(bench: Workbench) -> None:
    one = bench.submit(b"2", language="pt", attributes={"tenant": "a"})
    assert bench.attend().ending is Ending.COMPLETED
    assert bench.transcript(one).language == "pt"


def test_a_job_is_known_before_a_worker_sees_it(bench: Workbench) -> None:
    one = bench.submit(id="call-4711")
    record = bench.record(one)
    assert (record.state, record.name, record.request_id) == (JobState.QUEUED, "call.wav", "call-4711")
    found = bench.records.find("call-4711")
    assert found is not None
    assert found.record.job_id == one.job.id


def test_submitting_again_leaves_the_record_of_what_was_done(bench: Workbench) -> None:
    one = bench.submit()
    bench.attend()
    bench.resubmit(id="again")
    assert bench.record(one).state is JobState.DONE
    found = bench.records.find("again")
    assert found is not None
    assert found.record.job_id == one.job.id


def test_a_bad_option_is_refused_before_anything_is_put_anywhere(bench: Workbench) -> None:
    with pytest.raises(RejectJob) as caught:
        bench.submit(language="portuguese")
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert not any(path.is_file() for path in (bench.folder / "spool").rglob("*"))
    assert list(bench.records.all()) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Source("file:///etc/passwd"), Reason.SOURCE_NOT_ALLOWED),
        (Source("nonsense://x"), Reason.INVALID_REQUEST),
        (Source("/missing.wav", Path("/missing.wav"), "missing.wav"), Reason.SOURCE_NOT_FOUND),
    ],
)
def test_what_the_workers_would_refuse_is_not_sent(bench: Workbench, source: Source, reason: Reason) -> None:
    with pytest.raises(RejectJob) as caught:
        bench.submitter.submit(source, {})
    assert caught.value.reason is reason
    assert bench.queue_is_empty()
    assert list(bench.records.all()) == []


def test_an_output_that_is_not_allowed_is_not_sent(bench: Workbench) -> None:
    with pytest.raises(RejectJob) as caught:
        bench.submit(output="file:///etc/")
    assert caught.value.reason is Reason.OUTPUT_NOT_ALLOWED
    assert bench.queue_is_empty()


def test_two_sources_with_one_transcript_are_refused(bench: Workbench) -> None:
    """Also where their names differ only by where they lie."""
    submitted = bench.submit()
    audio = submitted.job.source
    with pytest.raises(RejectJob, match="would replace that of"):
        bench.submitter.submit(Source(str(audio)), {})


def test_a_broker_without_a_place_for_files_takes_uris_only(bench: Workbench) -> None:
    submitter = Submitter(bench.broker, bench.records, bench.places.rules, None, bench.clock)
    with pytest.raises(RejectJob, match="name its URI"):
        submitter.submit(Source("call.wav", Path("call.wav"), "call.wav"), {})
    audio = ObjectUri.from_path(bench.folder / "spool" / "audio" / "a.wav")
    submitter.submit(Source(str(audio)), {})
    assert json.loads(bench.delivery().message.body) == {"version": 1, "source": str(audio)}
