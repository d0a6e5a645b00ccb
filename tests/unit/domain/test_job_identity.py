"""What makes two requests one job, and two transcripts the same."""

from dataclasses import replace

import pytest

from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.job import Channels, Format, Job, MediaOptions, Priority, SpeechOptions, Task
from transcriber_worker.domain.uri import ObjectUri

JOB = Job(
    request_id="call-4711",
    source=ObjectUri.parse("oci://audio@ns/path/call.mp3"),
    name="path/call.mp3",
    output=ObjectUri.parse("oci://transcripts@ns/calls/"),
    requested_at=1_750_000_000.0,
)


def test_outputs_keep_the_source_s_whole_name() -> None:
    outputs = [str(JOB.output_for(format_)) for format_ in Format]

    assert outputs == [f"oci://transcripts@ns/calls/path/call.mp3.{suffix}" for suffix in ("json", "txt", "srt", "vtt")]


def test_a_job_is_where_its_transcript_goes() -> None:
    again = replace(
        JOB,
        request_id="another",
        source=ObjectUri.parse("https://host/call.mp3"),
        requested_at=0.0,
        formats=(Format.JSON,),
        speech=SpeechOptions(language="pt"),
        priority=Priority.HIGH,
    )

    assert again.id == JOB.id
    assert replace(JOB, name="path/other.mp3").id != JOB.id
    assert replace(JOB, output=ObjectUri.parse("oci://transcripts@ns/others/")).id != JOB.id


def test_an_id_never_changes_between_versions() -> None:
    """Records in the state prefix are found by it: a change would do every job again."""
    assert JOB.id == "7571fc372685abbe4ca5a79f84a83a47"
    assert JOB.fingerprint("etag", "base") == "8239aefe600f65d734b0f3f911c19212"


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, speech=SpeechOptions(language="pt")),
        replace(JOB, speech=SpeechOptions(task=Task.TRANSLATE)),
        replace(JOB, speech=SpeechOptions(word_timestamps=True)),
        replace(JOB, speech=SpeechOptions(prompt="names")),
        replace(JOB, speech=SpeechOptions(hotwords=("names",))),
        replace(JOB, media=MediaOptions(channels=Channels.SPLIT)),
        replace(JOB, media=MediaOptions(speed=1.5)),
        replace(JOB, media=MediaOptions(clip=Span(0.0, 1.0))),
    ],
)
def test_another_option_makes_another_transcript(other: Job) -> None:
    assert other.fingerprint("etag", "base") != JOB.fingerprint("etag", "base")


def test_another_version_or_model_makes_another_transcript() -> None:
    fingerprints = {JOB.fingerprint(etag, model) for etag in ("1", "2") for model in ("base", "turbo")}

    assert len(fingerprints) == 4


def test_what_does_not_touch_the_words_makes_the_same_transcript() -> None:
    again = replace(JOB, request_id="other", formats=(Format.TXT,), priority=Priority.LOW, attributes={"tenant": "a"})

    assert again.fingerprint("etag", "base") == JOB.fingerprint("etag", "base")
