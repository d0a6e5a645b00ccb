"""Hostile and damaged media end as a transcript with a warning or as a dead letter; the worker and its other jobs go
on, and no process outlives its job."""

import json
import wave
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.deployment import BRIEF, RECORDINGS, Deployment, WorkerProcess, deployed, until
from tests.chaos.verdicts import assert_done
from tests.speech import CORPUS
from transcriber_worker.domain.errors import Reason
from transcriber_worker.domain.job import Job
from transcriber_worker.pipeline.records import JobState

HOSTILE = CORPUS / "hostile"

TRANSCRIBED: Mapping[str, frozenset[str]] = {
    "8ch.wav": frozenset(),
    "corrupt_middle.mp3": frozenset({"damaged_input"}),
    "truncated.mp3": frozenset({"truncated_input"}),
    "video_audio.mp4": frozenset(),
}
"""Files of the corpus that have a transcript, and the warnings in it."""

REFUSED: Mapping[str, Reason] = {
    "empty.mp3": Reason.MEDIA_UNREADABLE,
    "header_only.wav": Reason.MEDIA_NO_AUDIO,
    "playlist_trick.m3u8": Reason.MEDIA_NOT_ALLOWED,
    "playlist_trick.mp3": Reason.MEDIA_NOT_ALLOWED,
    "text.mp3": Reason.MEDIA_UNREADABLE,
    "video_noaudio.mp4": Reason.MEDIA_NO_AUDIO,
}


def submit_good(deployment: Deployment, count: int) -> list[Job]:
    return [deployment.submit(BRIEF, f"brief-{number}.wav") for number in range(count)]


def assert_worker_well(deployment: Deployment, worker: WorkerProcess, good: list[Job]) -> None:
    """The files around the hostile ones are done, and one that comes after; only the child kept ready is alive."""
    good = [*good, deployment.submit(BRIEF, "brief-after.wav")]
    deployment.run_to_end(*good)
    for job in good:
        assert_done(deployment, job)
    assert worker.running
    until(lambda: len(worker.children()) <= 1, "no child outlives its job", 5.0)


def reasons(deployment: Deployment, jobs: Mapping[str, Job]) -> dict[str, str]:
    """The reason of every dead letter, by file; each was told in an event too."""
    letters = deployment.letters()
    found = {name: letters[job.id]["reason"] for name, job in jobs.items() if job.id in letters}
    for name, reason in found.items():
        assert [event["data"]["error"]["reason"] for event in deployment.results(jobs[name])] == [reason]
        assert letters[jobs[name].id]["message"]
        assert f"{jobs[name].name}.json" not in deployment.outputs()
    return found


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="needs ../shared/corpus/hostile")
@pytest.mark.timeout(200)
def test_every_hostile_file_ends_with_a_transcript_or_the_right_reason(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        good = submit_good(deployment, 3)
        jobs = {path.name: deployment.submit(path, path.name) for path in sorted(HOSTILE.iterdir())}
        worker = deployment.start()
        deployment.run_to_end(*good, *jobs.values(), within_s=150)
        found = reasons(deployment, jobs)
        outputs = deployment.outputs()
        warnings = {
            name: {warning["code"] for warning in json.loads(outputs[f"{job.name}.json"])["warnings"]}
            for name, job in jobs.items()
            if name not in found
        }
        assert set(found) | set(warnings) == set(jobs)
        assert {name: found.get(name) for name in REFUSED} == REFUSED
        for name, expected in TRANSCRIBED.items():
            assert warnings[name] >= expected, name
        assert json.loads(outputs["corrupt_middle.mp3.json"])["duration"]["decoded_s"] > 95
        for job in jobs.values():
            record = deployment.record(job)
            assert record is not None
            assert (record.crashes, record.failures) == (0, 0), "the first look was enough"
        assert_worker_well(deployment, worker, good)


def test_disguised_playlists_and_rubbish_are_refused_and_read_nothing_else(tmp_path: Path) -> None:
    neighbour = tmp_path / "neighbour.wav"
    neighbour.write_bytes(BRIEF.read_bytes())
    with wave.open(str(tmp_path / "nothing.wav"), "wb") as nothing:
        nothing.setnchannels(1)
        nothing.setsampwidth(2)
        nothing.setframerate(16_000)
    contents = {
        "concat.mp3": b"ffconcat version 1.0\nfile neighbour.wav\n",
        "concat-absolute.wav": f"ffconcat version 1.0\nfile {neighbour}\n".encode(),
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{neighbour}\n#EXT-X-ENDLIST\n".encode(),
        "list.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{neighbour}\n#EXT-X-ENDLIST\n".encode(),
        "empty.flac": b"",
        "rubbish.mp3": bytes(range(256)) * 50,
        "page.ogg": b"<!doctype html><title>404 Not Found</title>" * 100,
        "subtitles.mp4": b"1\n00:00:00,000 --> 00:00:10,000\nnot audio at all\n\n" * 50,
        "half.flac": (RECORDINGS / "herbstgarten.flac").read_bytes()[:40],
        "nothing.wav": (tmp_path / "nothing.wav").read_bytes(),
    }
    with deployed(tmp_path) as deployment:
        good = submit_good(deployment, 2)
        jobs = {}
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            jobs[name] = deployment.submit(tmp_path / name, name)
        assert deployment.office.shelve is not None
        deployment.office.shelve(neighbour, "neighbour.wav")
        worker = deployment.start()
        deployment.run_to_end(*good, *jobs.values())
        found = reasons(deployment, jobs)
        assert set(found) == set(contents)
        refused = {Reason.MEDIA_NOT_ALLOWED, Reason.MEDIA_UNREADABLE, Reason.MEDIA_NO_AUDIO}
        assert set(found.values()) <= refused
        for playlist in ("concat.mp3", "concat-absolute.wav", "list.m3u8", "list.mp3"):
            assert found[playlist] == Reason.MEDIA_NOT_ALLOWED, playlist
        assert found["empty.flac"] == Reason.MEDIA_UNREADABLE
        assert_worker_well(deployment, worker, good)


def test_a_damaged_recording_has_a_transcript_that_says_so(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        job = deployment.submit(RECORDINGS / "storm-damaged.mp3", "storm.mp3")
        deployment.start()
        deployment.run_to_end(job)
        assert_done(deployment, job)
        record = deployment.record(job)
        assert record is not None
        assert record.state is JobState.DONE
        assert "damaged_input" in deployment.results(job)[0]["data"]["warnings"]
