"""What a publisher may write in a request, and how it is refused."""

from typing import Any

import pytest

from tests.builders import make_request, make_rules, uri
from transcriber_worker.domain.audio import Span
from transcriber_worker.domain.errors import Reason, RejectJob, RetryJob
from transcriber_worker.domain.job import Channels, Format, Job, Priority, Task
from transcriber_worker.messages.request import Request, RequestRules, to_job, validate_request

RULES = make_rules(
    ("file:///data/audio/", "file:///data/audio/tenants/", "oci://calls@ns/in/", "https://files.example.com/public/"),
    ("file:///data/transcripts/", "oci://out@ns/calls/"),
)


def job(rules: RequestRules = RULES, **fields: Any) -> Job:
    return to_job(validate_request(make_request(**fields)), rules, published_at=1.0)


def refusal(**fields: Any) -> RejectJob:
    with pytest.raises(RejectJob) as caught:
        job(**fields)
    return caught.value


def test_only_the_source_is_required() -> None:
    made = to_job(validate_request({"source": "file:///data/audio/call.wav"}), RULES, published_at=7.0)
    assert made == Job(
        request_id="",
        source=uri("file:///data/audio/call.wav"),
        name="call.wav",
        output=uri("file:///data/transcripts/"),
        requested_at=7.0,
    )


def test_every_field_reaches_the_job() -> None:
    made = job(
        id="call-4711",
        source="oci://calls@ns/in/path/call.mp3",
        output="oci://out@ns/calls/a/",
        language="pt",
        task="translate",
        formats=["srt"],
        word_timestamps=True,
        channels="split",
        clip={"start_s": 1, "end_s": 2.5},
        prompt="Hello.",
        hotwords=["Zürich"],
        speed=2,
        priority="high",
        deadline_s=60,
        reply_to="answers",
        attributes={"tenant": "a"},
    )
    assert (made.request_id, made.name) == ("call-4711", "in/path/call.mp3")
    assert str(made.output_for(Format.JSON)) == "oci://out@ns/calls/a/in/path/call.mp3.json"
    assert made.formats == (Format.JSON, Format.SRT)
    speech, media = made.speech, made.media
    assert (speech.language, speech.task, speech.word_timestamps) == ("pt", Task.TRANSLATE, True)
    assert (speech.prompt, speech.hotwords) == ("Hello.", ("Zürich",))
    assert (media.channels, media.clip, media.speed) == (Channels.SPLIT, Span(1.0, 2.5), 2.0)
    assert (made.priority, made.deadline_s, made.reply_to) == (Priority.HIGH, 60.0, "answers")
    assert made.attributes == {"tenant": "a"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 201),
        ("id", "a\nb"),
        ("id", 4711),
        ("source", ""),
        ("source", "file:///data/audio/" + "x" * 4096),
        ("source", None),
        ("output", "x" * 2049),
        ("language", "portuguese"),
        ("language", "PT"),
        ("language", ""),
        ("languages", ["pt", "EN"]),
        ("languages", "pt"),
        ("languages", ["en"] * 101),
        ("task", "summarise"),
        ("formats", ["pdf"]),
        ("formats", "json"),
        ("word_timestamps", "yes"),
        ("word_timestamps", 1),
        ("channels", "left"),
        ("clip", {"start_s": 5}),
        ("clip", {"start_s": 5, "end_s": 5}),
        ("clip", {"start_s": -1, "end_s": 5}),
        ("clip", {"start_s": "0", "end_s": 5}),
        ("clip", {"start_s": 0, "end_s": 1e300}),
        ("clip", {"end_s": float("nan")}),
        ("clip", [0, 5]),
        ("prompt", "x" * 4001),
        ("hotwords", ["x"] * 201),
        ("hotwords", [" "]),
        ("hotwords", ["x" * 201]),
        ("speed", 0.49),
        ("speed", 3.01),
        ("speed", "2"),
        ("speed", True),
        ("speed", float("nan")),
        ("priority", "urgent"),
        ("deadline_s", 0),
        ("deadline_s", -1),
        ("deadline_s", float("inf")),
        ("deadline_s", "60"),
        ("reply_to", ""),
        ("reply_to", "../results"),
        ("reply_to", "x" * 201),
        ("reply_to", "a\n"),
        ("attributes", {"": "x"}),
        ("attributes", {"a\x00": "x"}),
        ("attributes", {"k" * 201: "x"}),
        ("attributes", {"tenant": "x" * 1001}),
        ("attributes", {"tenant": 1}),
        ("attributes", {str(n): "x" for n in range(33)}),
        ("attributes", {"tenant": "\ud800"}),
        ("version", 0),
        ("version", "1"),
    ],
)
def test_a_field_out_of_its_bounds_is_refused_by_name(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert error.reason is Reason.INVALID_REQUEST
    assert field in error.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x" * 200),
        ("language", "yue"),
        ("languages", ["en"] * 100),
        ("formats", []),
        ("clip", {"end_s": 10_000_000}),
        ("clip", None),
        ("prompt", "x" * 4000),
        ("hotwords", ["x" * 200] * 200),
        ("speed", 0.5),
        ("speed", 3),
        ("deadline_s", 0.001),
        ("reply_to", "x" * 200),
        ("attributes", {str(n): "x" * 1000 for n in range(32)}),
    ],
)
def test_the_bounds_themselves_are_allowed(field: str, value: Any) -> None:
    assert job(**{field: value}).formats[0] is Format.JSON


def test_every_problem_is_named_at_once() -> None:
    error = refusal(speed=9, task="summarise", sourse="x", clip={"end_s": 0, "until": 3})
    for told in ("speed", "task", "'sourse'", "clip.end_s", "'clip.until'"):
        assert told in error.message


def test_an_unknown_key_is_refused_by_name_with_the_keys_there_are() -> None:
    error = refusal(langauge="pt")
    assert "unknown key 'langauge'" in error.message
    assert all(name in error.message for name in Request.model_fields)


def test_a_body_full_of_unknown_keys_makes_a_short_message() -> None:
    error = refusal(**{f"key{n}": n for n in range(20_000)})
    assert "and 19980 more problems" in error.message
    assert len(error.message) < 4000


def test_a_very_long_key_makes_a_short_message() -> None:
    assert len(refusal(**{"k" * 500_000: 1}).message) < 1000


def test_attributes_are_not_told_not_even_their_keys() -> None:
    assert "jane" not in refusal(attributes={"jane@example.com": "x" * 2000}).message


@pytest.mark.parametrize("languages", [[], ["de", "en"]])
def test_the_languages_may_change_on_the_way(languages: list[str]) -> None:
    speech = job(language="mixed", languages=languages).speech
    assert speech.mixed
    assert speech.language is None
    assert speech.languages == tuple(languages)


def test_a_language_and_a_choice_of_languages_exclude_each_other() -> None:
    assert "either `language` or `languages`" in refusal(language="pt", languages=["en"]).message


@pytest.mark.parametrize("version", [2, 3, 10**30, 2.0])
def test_a_newer_version_is_left_to_a_newer_worker_whatever_else_it_says(version: Any) -> None:
    with pytest.raises(RetryJob, match="newer than this worker's 1") as caught:
        validate_request({"version": version, "sources": ["a", "b"]})
    assert caught.value.delay_s == 60.0
    assert len(caught.value.message) < 100


TOKEN = "ToKeN4711"  # noqa: S105 - looked for, not used


@pytest.mark.parametrize(
    "source",
    [
        f"https://objectstorage.eu.example.com/p/{TOKEN}/n/ns/b/calls/o/call.mp3",
        f"https://objectstorage.eu.example.com/p/{TOKEN}/n/ns/b/calls/o/../x",
        f"http://objectstorage.eu.example.com/p/{TOKEN}/n/ns/b/calls/o/call.mp3",
        f"HTTPS://host/p/{TOKEN}/call.mp3",
        f" https://host/p/{TOKEN}/call.mp3",
        f"https:/host/p/{TOKEN}/call.mp3",
        f"https://host?token={TOKEN}",
        f"https://host#{TOKEN}",
        f"https://user:{TOKEN}@host/call.mp3",
        f"https://user:{TOKEN}℀@host/call.mp3",
        f"https://host:{TOKEN}/call.mp3",
        f"https://[{TOKEN}/call.mp3",
        f"s3://key:{TOKEN}@bucket/call.mp3",
        f"https://host/{TOKEN}\n",
    ],
)
@pytest.mark.parametrize("field", ["source", "output"])
def test_no_refusal_tells_the_token_in_a_url(field: str, source: str) -> None:
    error = refusal(**{field: source})
    assert TOKEN not in error.message
    assert TOKEN not in str(error)


def test_no_refusal_tells_a_token_given_as_a_key() -> None:
    assert TOKEN not in refusal(**{f"see https://host/p/{TOKEN}/x": 1}).message


@pytest.mark.parametrize(
    "source",
    [
        "file:///data/audio/../secret.wav",
        "file:///data/audio/%2e%2e/secret.wav",
        "file:///data/audio/./call.wav",
        "oci://calls@ns/in/../x.mp3",
        "https://files.example.com/public/%2e%2e/x.mp3",
        "https://files.example.com/public/%2E./x.mp3",
        "file:///data/audio/a\x00.wav",
        "file:///data/audio/a%00.wav",
        "file:///data/audio/a\r\nb.wav",
        "oci://calls@ns/in/a\x7f.mp3",
        "https://files.example.com/public/a%0ab.mp3",
        "ftp://host/a.wav",
        "file://host/data/audio/a.wav",
        "oci://calls/in/a.mp3",
        "oci://ca lls@ns/in/a.mp3",
        "https://",
        "/data/audio/a.wav",
        "call.wav",
    ],
)
def test_what_is_no_honest_uri_is_refused(source: str) -> None:
    assert refusal(source=source).reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "source",
    ["file:///data/audio/", "oci://calls@ns/in/", "https://files.example.com/public/", "file:///data/audio/a/",
     "https://files.example.com/public/?x=y"],
)  # fmt: skip
def test_a_folder_is_no_source(source: str) -> None:
    assert "folder" in refusal(source=source).message


@pytest.mark.parametrize(
    "source",
    [
        "file:///data/audiobooks/a.wav",
        "file:///data/audio",
        "file:///etc/passwd",
        "oci://calls@ns/inbox/a.mp3",
        "oci://calls@other/in/a.mp3",
        "oci://calls2@ns/in/a.mp3",
        "https://files.example.com/publicity/a.mp3",
        "https://files.example.com:8443/public/a.mp3",
        "https://files.example.com.evil.org/public/a.mp3",
    ],
)
def test_a_source_beside_the_allowed_prefixes_is_refused(source: str) -> None:
    error = refusal(source=source)
    assert error.reason is Reason.SOURCE_NOT_ALLOWED
    assert "storage.allowed_sources" in error.message


def test_an_allowed_prefix_does_not_allow_what_merely_begins_with_its_letters() -> None:
    rules = make_rules(("file:///a/b/",))
    assert job(rules, source="file:///a/b/c.wav").name == "c.wav"
    with pytest.raises(RejectJob):
        job(rules, source="file:///a/bc.wav")


@pytest.mark.parametrize(
    "output", ["file:///data/transcripts-of-others/", "file:///etc/", "oci://out@ns/", "oci://out@ns/calls2/"]
)
def test_an_output_beside_the_allowed_prefixes_is_refused(output: str) -> None:
    error = refusal(output=output)
    assert error.reason is Reason.OUTPUT_NOT_ALLOWED
    assert "storage.allowed_outputs" in error.message


@pytest.mark.parametrize("output", ["file:///data/transcripts/a", "file:///data/transcripts/a/"])
def test_an_output_is_a_prefix_with_or_without_its_slash(output: str) -> None:
    assert str(job(output=output).output_for(Format.SRT)) == "file:///data/transcripts/a/call.wav.srt"


def test_the_allowed_output_itself_may_be_named_without_its_slash() -> None:
    assert job(output="oci://out@ns/calls").output == uri("oci://out@ns/calls/")


def test_the_first_allowed_output_is_the_default() -> None:
    assert job().output == RULES.outputs[0]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("oci://calls@ns/in/a b/é.mp3", "in/a b/é.mp3"),
        ("oci://calls@ns/in/100%25.mp3", "in/100%25.mp3"),
        ("file:///data/audio/a/call.wav", "a/call.wav"),
        ("file:///data/audio/my%20call.wav", "my call.wav"),
        ("file:///data/audio/tenants/x/call.wav", "x/call.wav"),
        ("https://files.example.com/public/my%20call.mp3?sig=secret", "public/my call.mp3"),
    ],
)
def test_a_transcript_is_named_after_its_whole_source(source: str, name: str) -> None:
    assert job(source=source).name == name


@pytest.mark.parametrize(
    "host",
    [
        "objectstorage.eu-frankfurt-1.oraclecloud.com",
        "ns.objectstorage.eu-frankfurt-1.oci.customer-oci.com",
        "files.example.com",
    ],
)
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_pre_authenticated_request_is_named_after_its_object_without_its_token(host: str, slashes: str) -> None:
    rules = make_rules((f"https://{host}/",))
    made = job(rules, source=f"https://{host}{slashes}p/{TOKEN}/n/ns/b/calls/o/in%2Fmy%20call.mp3?x=y")
    assert made.name == "in/my call.mp3"
    assert TOKEN not in made.id + str(made.output_for(Format.JSON))


@pytest.mark.parametrize("rest", ["", "/n/ns/b/calls/o", "/n/ns/b/calls/o?x=y", "/n/ns/b/calls/u/call.mp3"])
@pytest.mark.parametrize("p", ["p", "%70"])
def test_a_pre_authenticated_request_that_names_no_object_never_becomes_a_name(p: str, rest: str) -> None:
    host = "objectstorage.eu-frankfurt-1.oraclecloud.com"
    with pytest.raises(RejectJob) as caught:
        job(make_rules((f"https://{host}/",)), source=f"https://{host}/{p}/{TOKEN}{rest}")
    assert TOKEN not in caught.value.message


@pytest.mark.parametrize("spelling", ["file:///data/audio//a/call.wav", "file:////data//audio/a///call.wav"])
def test_one_file_is_one_job_however_its_slashes_are_written(spelling: str) -> None:
    assert job(source=spelling).id == job(source="file:///data/audio/a/call.wav").id


@pytest.mark.parametrize("spelling", ["file:///data/transcripts//a", "file:////data/transcripts/a//"])
def test_one_output_is_one_job_however_its_slashes_are_written(spelling: str) -> None:
    assert job(output=spelling).id == job(output="file:///data/transcripts/a/").id


def test_a_name_too_long_for_any_result_event_is_refused() -> None:
    rules = make_rules(("oci://calls@ns/",))
    assert job(rules, source="oci://calls@ns/" + "x" * 1024).name == "x" * 1024
    with pytest.raises(RejectJob, match="bytes"):
        job(rules, source="oci://calls@ns/" + "\N{SLEEPING SYMBOL}" * 4000)
