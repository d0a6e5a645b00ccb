from tests.unit.transcript.subtitle_parsers import read_srt, read_vtt
from tests.unit.transcript.transcripts import document, spoken
from transcriber_worker.domain.job import Format
from transcriber_worker.domain.transcript import Segment
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.document import TranscriptDocument
from transcriber_worker.transcript.render import CONTENT_TYPES, render

SETTINGS = TranscriptSettings()


def rendered(written: TranscriptDocument, format_: Format) -> str:
    return render(written, format_, SETTINGS).decode()


TWO = document(Segment(0.5, 2, "Fish & chips?"), Segment(3661.25, 3663, "1 < 2, \n\nyes."))
SPLIT = document(Segment(0, 4, "Hello?", channel=0), Segment(3, 5, "Hi.", channel=1))
EMPTY = document()


def test_txt_is_one_line_a_segment() -> None:
    assert rendered(TWO, Format.TXT) == "Fish & chips?\n1 < 2, yes.\n"


def test_srt() -> None:
    assert rendered(TWO, Format.SRT) == (
        "1\n00:00:00,500 --> 00:00:02,000\nFish & chips?\n\n2\n01:01:01,250 --> 01:01:03,000\n1 < 2, yes.\n"
    )


def test_vtt() -> None:
    assert rendered(TWO, Format.VTT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.000\nFish &amp; chips?\n\n01:01:01.250 --> 01:01:03.000\n1 &lt; 2, yes.\n"
    )


def test_separate_channels_are_told_apart() -> None:
    assert rendered(SPLIT, Format.TXT) == "[0] Hello?\n[1] Hi.\n"
    assert [cue.lines for cue in read_srt(render(SPLIT, Format.SRT, SETTINGS))] == [("[0] Hello?",), ("[1] Hi.",)]
    voices = [(cue.voice, cue.lines) for cue in read_vtt(render(SPLIT, Format.VTT, SETTINGS))]
    assert voices == [("Channel 0", ("Hello?",)), ("Channel 1", ("Hi.",))]


def test_an_empty_transcript_is_valid_in_every_format() -> None:
    assert rendered(EMPTY, Format.TXT) == ""
    assert rendered(EMPTY, Format.SRT) == ""
    assert rendered(EMPTY, Format.VTT) == "WEBVTT\n"
    assert read_vtt(render(EMPTY, Format.VTT, SETTINGS)) == read_srt(render(EMPTY, Format.SRT, SETTINGS)) == []


def test_text_cannot_pass_for_times_or_for_another_cue() -> None:
    attack = document(Segment(0, 9, "a\n\n2\n00:00:01,000 --> 00:00:02,000 ---> b"))
    numbered = read_srt(render(attack, Format.SRT, SETTINGS))
    assert " ".join(cue.text for cue in numbered) == "a 2 00:00:01,000 → 00:00:02,000 → b"
    cues = read_vtt(render(attack, Format.VTT, SETTINGS))
    assert " ".join(cue.text for cue in cues) == "a 2 00:00:01,000 --> 00:00:02,000 ---> b"


def test_text_cannot_pass_for_vtt_markup() -> None:
    (cue,) = read_vtt(render(document(Segment(0, 4, "<v Boss>&lt; <b>x</b>")), Format.VTT, SETTINGS))
    assert (cue.voice, cue.text) == (None, "<v Boss>&lt; <b>x</b>")


def test_hours_beyond_two_digits_are_written_out() -> None:
    assert "100:00:00,000 --> 100:00:02,000" in rendered(document(Segment(360_000, 360_002, "Late.")), Format.SRT)


def test_json_is_the_document_itself() -> None:
    assert render(TWO, Format.JSON, SETTINGS) == TWO.to_bytes()


def test_every_format_has_a_content_type() -> None:
    assert set(CONTENT_TYPES) == set(Format)


def test_words_of_the_committed_document_time_the_cues() -> None:
    late = spoken("Hello there, this comes late.", start_s=10.0, word_s=0.5)
    committed = TranscriptDocument.from_bytes(document(late, words=True).to_bytes())
    assert read_srt(render(committed, Format.SRT, SETTINGS))[0].end_ms == 12_500
