"""Messages that can't be done, each ended as documented, while good ones around them are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.deployment import BRIEF, Deployment, deployed, until
from tests.chaos.verdicts import assert_done
from transcriber_worker.domain.errors import Reason
from transcriber_worker.observability import events


def audio(deployment: Deployment, name: str) -> str:
    return f"file://{deployment.spool}/audio/{name}"


def poison(deployment: Deployment) -> dict[str, tuple[bytes, Reason]]:
    """Bodies by what is wrong with them, and the reason they must end with."""

    def request(**fields: Any) -> bytes:
        return json.dumps({"source": audio(deployment, "missing.wav"), **fields}).encode()

    invalid = Reason.INVALID_REQUEST
    return {
        "nothing": (b"", invalid),
        "binary": (bytes(range(256)), invalid),
        "cut short": (request()[:-5], invalid),
        "a list": (b"[1, 2]", invalid),
        "a string": (b'"transcribe this"', invalid),
        "nested deeper than any parser likes": (b"[" * 200_000, invalid),
        "a number of a million digits": (b'{"source": ' + b"9" * 900_000 + b"}", invalid),
        "larger than any request": (b'{"source": "' + b"a" * 1_100_000 + b'"}', invalid),
        "no source": (b'{"version": 1}', invalid),
        "source of another type": (request(source=5), invalid),
        "an unknown key": (request(sauce="x"), invalid),
        "options that exclude each other": (request(language="en", languages=["de"]), invalid),
        "version of another type": (request(version="latest"), invalid),
        "a folder": (request(source=audio(deployment, "")), invalid),
        "half a character in the source": (request(source=audio(deployment, "\ud800.wav")), invalid),
        "half a character in the id": (request(id="\ud800"), invalid),
        "half a character in an attribute": (request(attributes={"tenant": "\ud800"}), invalid),
        "half a character in the prompt": (request(prompt="\ud800"), invalid),
        "dot segments": (request(source=audio(deployment, "../../secret.wav")), invalid),
        "a source nobody allowed": (request(source="file:///etc/hostname"), Reason.SOURCE_NOT_ALLOWED),
        "an output nobody allowed": (request(output="file:///etc/"), Reason.OUTPUT_NOT_ALLOWED),
        "a bucket nobody allowed": (request(source="oci://b@n/call.mp3"), Reason.SOURCE_NOT_ALLOWED),
        "a source that is not there": (request(), Reason.SOURCE_NOT_FOUND),
        "a language that does not exist": (request(source=audio(deployment, "here.wav"), language="xx"),
                                           Reason.LANGUAGE_NOT_SUPPORTED),
    }  # fmt: skip


@pytest.mark.timeout(200)
def test_each_poison_message_becomes_one_letter_that_says_why(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        assert deployment.office.shelve is not None
        deployment.office.shelve(BRIEF, "here.wav")
        good = [deployment.submit(BRIEF, "brief-1.wav")]
        wanted = poison(deployment)
        origins = {f"spool:inbox/{deployment.publish(body)}.msg": what for what, (body, _) in wanted.items()}
        good.append(deployment.submit(BRIEF, "brief-2.wav"))
        worker = deployment.start()
        deployment.run_to_end(*good)
        letters = {origins[letter["origin"]]: letter for letter in deployment.letters().values()}
        assert {what: letter["reason"] for what, letter in letters.items()} == {
            what: reason.value for what, (_, reason) in wanted.items()
        }
        failed = [event["subject"] for event in deployment.results() if event["type"] == "transcription.failed"]
        assert sorted(failed) == sorted(letter["id"] for letter in letters.values())
        assert all(letter["message"] for letter in letters.values())
        assert "body_uri" in letters["larger than any request"]
        for job in good:
            assert_done(deployment, job)
        assert not worker.lines(events.UNEXPECTED_ERROR)
        assert worker.running


def test_dropped_rubbish_is_a_letter_and_dropped_audio_a_transcript(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        inbox = deployment.spool / "inbox"
        (inbox / "request.json").write_bytes(b"{not json")
        (inbox / "call.wav").write_bytes(BRIEF.read_bytes())
        (inbox / "notes.txt").write_text("remember the milk " * 100)
        deployment.start()
        until(lambda: len(deployment.letters()) == 2 and not deployment.messages(), "two letters")
        found = {letter["origin"]: letter["reason"] for letter in deployment.letters().values()}
        assert found == {
            "spool:inbox/request.json": Reason.INVALID_REQUEST,
            "spool:inbox/notes.txt": Reason.MEDIA_UNREADABLE,
        }
        assert set(deployment.outputs()) == {f"call.wav.{format_}" for format_ in ("json", "txt", "srt", "vtt")}


def pass_a_minute(deployment: Deployment) -> None:
    """The moment that a delayed message is due is the beginning of its name."""
    for path in (deployment.spool / "delayed").iterdir():
        due = path.rename(path.with_name("0" * 13 + path.name[13:]))
        until(lambda due=due: not due.exists(), "tried again")  # type: ignore[misc]


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_newer_version_waits_for_a_newer_worker_until_the_bound(tmp_path: Path, attempts: int) -> None:
    with deployed(tmp_path, worker={"max_attempts": attempts}) as deployment:
        deployment.publish({"version": 2, "source": audio(deployment, "x.wav"), "colour": "blue"})
        deployment.start()
        for attempt in range(1, attempts):
            until(lambda: list((deployment.spool / "delayed").iterdir()), f"attempt {attempt} gave it back")
            assert not deployment.letters()
            pass_a_minute(deployment)
        until(deployment.letters, "given up")
        (letter,) = deployment.letters().values()
        assert letter["reason"] == Reason.UNSUPPORTED_VERSION
        assert json.loads(letter["body"])["version"] == 2
        until(lambda: not deployment.messages(), "settled")


def test_events_that_ask_for_nothing_are_settled_without_a_word(tmp_path: Path) -> None:
    def event(kind: str, name: str) -> dict[str, Any]:
        details = {"bucketName": "b", "namespace": "n", "eTag": "e"}
        return {"eventType": f"com.oraclecloud.objectstorage.{kind}", "data": {"resourceName": name,
                "additionalDetails": details}}  # fmt: skip

    with deployed(tmp_path, observability={"log_level": "debug"}) as deployment:
        deployment.publish(event("deleteobject", "call.mp3"))
        deployment.publish(event("createobject", "folder/"))
        worker = deployment.start()
        until(lambda: len(worker.lines(events.JOB_IGNORED)) == 2, "both ignored")
        assert {line["reason"] for line in worker.lines(events.JOB_IGNORED)} == {"event_type", "folder_marker"}
        assert (deployment.messages(), deployment.letters(), deployment.results()) == ([], {}, [])


def test_a_broken_record_does_not_hold_its_job_up(tmp_path: Path) -> None:
    """Of a job that this or an older release left behind: nobody can read who had it, so it is begun anew."""
    with deployed(tmp_path) as deployment:
        job = deployment.submit(BRIEF, "brief-1.wav")
        record = deployment.transcripts / ".state" / "jobs" / f"{job.id}.json"
        assert record.exists()
        record.write_bytes(b'{"version": 1, "job_id"')
        worker = deployment.start()
        until(lambda: len(deployment.outputs()) == 4 and not deployment.messages(), "done all the same", 30)
        assert_done(deployment, job)
        assert not worker.lines(events.UNEXPECTED_ERROR)
