import json
import math
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.transcript.transcripts import document, job, spoken
from transcriber_worker.domain.audio import Notice, Span, TranscriptWarning
from transcriber_worker.domain.job import SpeechOptions, Task
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.transcript.compose import source_of
from transcriber_worker.transcript.document import InvalidDocument, TranscriptDocument


def as_json(written: TranscriptDocument) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(written.to_bytes())
    return decoded


def test_the_whole_contract() -> None:
    speech = SpeechOptions(task=Task.TRANSLATE, word_timestamps=True)
    segment = Segment(
        0.12345,
        1.98765,
        " Hello",
        words=(Word(0.12345, 1.98765, " Hello", 0.987654),),
        avg_logprob=-0.123456,
        no_speech_prob=0.01,
        compression_ratio=1.23456,
        flags=("low_confidence",),
        language="en",
    )
    warning = TranscriptWarning(Notice.DAMAGED, "two packets were damaged", Span(1.0, 1.00049))
    written = document(segment, of=job(speech, {"tenant": "a"}), audio_s=60.0, warnings=(warning,))
    assert as_json(written) == {
        "version": 1,
        "source": {
            "uri": "oci://audio@tenancy/calls/call.mp3",
            "name": "calls/call.mp3",
            "etag": "abc",
            "size_bytes": 1234,
            "modified_at": "2025-06-15T15:06:39.500Z",
        },
        "request_id": "call-4711",
        "job_id": job().id,
        "fingerprint": "f" * 32,
        "requested_at": "2025-06-15T15:06:40.123Z",
        "created_at": "2025-06-15T15:08:20.000Z",
        "attempt": {"number": 2, "worker": "pod-1", "id": "9f"},
        "engine": {
            "engine": "sequential",
            "model": "base",
            "model_sha256": "d0" * 32,
            "compute_type": "int8",
            "beam_size": 5,
            "manner": "",
        },
        "task": "translate",
        "language": "en",
        "language_probability": 0.9877,
        "channel_languages": [],
        "duration": {"audio_s": 60.0, "container_s": 60.021, "speech_s": 50.0, "decoded_s": 60.0},
        "text": "Hello",
        "segments": [
            {
                "id": 0,
                "start": 0.123,
                "end": 1.988,
                "text": " Hello",
                "channel": None,
                "words": [{"start": 0.123, "end": 1.988, "text": " Hello", "probability": 0.9877}],
                "avg_logprob": -0.1235,
                "no_speech_prob": 0.01,
                "compression_ratio": 1.2346,
                "temperature": 0.0,
                "flags": ["low_confidence"],
                "language": "en",
            }
        ],
        "quality": {"mean_logprob": -0.25, "low_confidence_share": 0.0, "no_speech": False},
        "warnings": [{"code": "damaged_input", "message": "two packets were damaged", "start": 1.0, "end": 1.0}],
        "timings": {"download": 0.123, "transcribe": 12.0},
        "attributes": {"tenant": "a"},
    }


def test_it_is_read_back_equal_and_written_again_the_same() -> None:
    written = document(spoken("Grüße, 世界 & Co."), Segment(3, 4, "Ende"), words=True)
    body = written.to_bytes()
    assert TranscriptDocument.from_bytes(body) == written
    assert TranscriptDocument.from_bytes(body).to_bytes() == body


def test_it_is_readable_one_line_a_segment() -> None:
    lines = document(Segment(0, 1, "Grüße."), Segment(1, 2, "Ende.")).to_bytes().decode().splitlines()
    assert [line for line in lines if line.startswith('{"id": ')] == [line for line in lines if '"channel"' in line]
    assert sum("Grüße." in line for line in lines) == 2  # in the text and in its segment
    assert document().to_bytes().endswith(b"}\n")


def test_words_are_null_unless_asked_for() -> None:
    assert document(spoken("Hello there.")).segments[0].words is None
    assert document(Segment(0, 1, "Hello."), words=True).segments[0].words == ()


def test_the_whole_text_joins_segments_as_their_script_does() -> None:
    assert document(Segment(0, 1, "One."), Segment(1, 2, "Two.")).text == "One. Two."
    assert document(Segment(0, 1, "一。"), Segment(1, 2, "二。")).text == "一。二。"


def test_the_whole_text_of_separate_channels_tells_them_apart() -> None:
    written = document(Segment(0, 1, "Hello.", channel=0), Segment(1, 2, "Hi.", channel=1))
    assert written.text == "[0] Hello.\n[1] Hi."


def test_a_url_s_token_is_not_in_it() -> None:
    url = ObjectUri.parse("https://store.example/p/SECRET/call.mp3?sig=SECRET")
    assert "SECRET" not in source_of(replace(job(), source=url), "abc", 1, 0.0).uri


def test_figures_that_are_no_numbers_are_null() -> None:
    """JSON has no NaN; a broken accelerator does."""
    (segment,) = document(Segment(0, 1, "Word.", avg_logprob=math.nan, no_speech_prob=math.inf)).segments
    assert (segment.avg_logprob, segment.no_speech_prob) == (None, None)


def test_what_utf8_cannot_write_is_replaced_not_fatal() -> None:
    written = document(Segment(0, 1, "bad \udcff text"))
    assert written.segments[0].text == "bad ? text"
    assert TranscriptDocument.from_bytes(written.to_bytes()) == written


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"version": 1, "text": "SPOKEN"}',
        document(Segment(0, 1, "SPOKEN")).to_bytes()[:-10],
        document(Segment(0, 1, "SPOKEN")).to_bytes().replace(b'"version": 1', b'"version": 2'),
        document(Segment(0, 1, "SPOKEN")).to_bytes().replace(b'"version": 1', b'"version": 1, "more": "SPOKEN"'),
        document(Segment(0, 1, "SPOKEN")).to_bytes().replace(b'"start": 0.0', b'"start": "SPOKEN"'),
        document(Segment(0, 1, "SPOKEN")).to_bytes().replace(b'"start": 0.0', b'"start": NaN'),
        document(Segment(0, 1, "SPOKEN")).to_bytes().replace(b'"start": 0.0', b'"start": -1'),
    ],
)
def test_garbage_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(InvalidDocument) as refused:
        TranscriptDocument.from_bytes(body)
    assert "SPOKEN" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_it_says_what_is_wrong_with_the_bytes() -> None:
    body = document(Segment(0, 1, "Word.")).to_bytes().replace(b'"beam_size": 5', b'"beam_size": 0')
    with pytest.raises(InvalidDocument, match=r"greater than or equal to 1 at engine\.beam_size"):
        TranscriptDocument.from_bytes(body)


def test_the_generated_schema_describes_what_is_written() -> None:
    schema = TranscriptDocument.model_json_schema()
    Draft202012Validator.check_schema(schema)
    written = as_json(document(spoken("Hello there."), Segment(3, 4, "One.", channel=1), words=True))
    Draft202012Validator(schema).validate(written)
    assert set(schema["required"]) == set(written)
