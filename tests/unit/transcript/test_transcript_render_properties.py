"""What holds for every transcript and every settings."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transcript.subtitle_parsers import ReadCue, read_srt, read_vtt
from tests.unit.transcript.transcripts import document
from transcriber_worker.domain.job import Format
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.document import TranscriptDocument
from transcriber_worker.transcript.render import render
from transcriber_worker.transcript.wording import display_width, may_break, plain

SPACED = st.sampled_from(
    ["a", "I", "don't", "well-known", "stop.", "and,", "Straßenbahnhaltestelle", "x" * 60, "&", "<b>"]
)
UNSPACED = st.sampled_from(["今天天气很好", "。", "「はい」", "きゃっ", "ราคา"])
HOSTILE = st.sampled_from(["-->", "--->", "--", ">", "\n\n", "\r", "\x00", "\ufeff", "&amp;", "</v>", "WEBVTT", "1"])
TEXTS = st.lists(st.one_of(SPACED, SPACED, UNSPACED, HOSTILE), max_size=40).map(" ".join)
TIMES = st.floats(0, 40_000)
STEPS = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 30))


def spelled(text: str, start_s: float, steps: Sequence[float]) -> tuple[Word, ...]:
    """Words that put together are `text`, at times that may be anything."""
    return tuple(
        Word(start_s + index, start_s + index + steps[index % len(steps)], f" {word}", 0.5)
        for index, word in enumerate(text.split(" "))
    )


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """In order of time; they may overlap, last no time, and have words or not."""
    split = draw(st.booleans())
    found, now_s = [], draw(TIMES)
    for text in draw(st.lists(TEXTS, max_size=6)):
        now_s += draw(STEPS)
        words = spelled(text, now_s, draw(st.lists(STEPS, min_size=1, max_size=5))) if draw(st.booleans()) else ()
        channel = draw(st.integers(0, 1)) if split else None
        found.append(Segment(now_s, now_s + draw(STEPS), text, channel=channel, words=words))
    return found


documents = segments().flatmap(
    lambda made: st.booleans().map(lambda words: document(*made, words=words, audio_s=50_000))
)
knobs = st.builds(
    TranscriptSettings,
    max_line_chars=st.integers(16, 60),
    max_lines=st.integers(1, 4),
    max_cue_s=st.floats(0.1, 10),
)


def by_channel(found: Sequence[ReadCue]) -> list[list[ReadCue]]:
    return [[cue for cue in found if cue.voice == voice] for voice in {cue.voice for cue in found}]


def letters(text: str) -> str:
    """What must come through: SubRip can't write an arrow, and a break may fall anywhere in unspaced text."""
    return "".join(char for char in text if not char.isspace() and char not in "->→")


def said(written: TranscriptDocument, channel: int | None) -> list[str]:
    return [plain(s.text) for s in written.segments if s.channel == channel and plain(s.text)]


@given(documents, knobs)
def test_vtt_is_valid_and_its_cues_never_overlap_nor_last_too_long(
    written: TranscriptDocument, set_to: TranscriptSettings
) -> None:
    for channel in by_channel(read_vtt(render(written, Format.VTT, set_to))):
        assert all(one.end_ms <= other.start_ms for one, other in pairwise(channel))
        assert all(cue.end_ms - cue.start_ms <= round(set_to.max_cue_s * 1000) for cue in channel)


@given(documents, knobs)
def test_lines_hold_their_width_and_cues_their_lines(written: TranscriptDocument, set_to: TranscriptSettings) -> None:
    for format_, read in ((Format.VTT, read_vtt), (Format.SRT, read_srt)):
        for cue in read(render(written, format_, set_to)):
            assert len(cue.lines) <= set_to.max_lines
            for line in cue.lines:
                label = line[:4] if format_ is Format.SRT and line[:1] == "[" else ""
                text = line.removeprefix(label)
                assert display_width(line) <= set_to.max_line_chars or not _breakable(text)


def _breakable(text: str) -> bool:
    return any(before.isspace() or may_break(before, after) for before, after in pairwise(text) if not after.isspace())


@given(documents, knobs)
def test_everything_said_is_in_every_format_in_order(written: TranscriptDocument, set_to: TranscriptSettings) -> None:
    cues = read_vtt(render(written, Format.VTT, set_to))
    lines = render(written, Format.TXT, set_to).decode().splitlines()
    numbered = read_srt(render(written, Format.SRT, set_to))
    for channel in {segment.channel for segment in written.segments}:
        label = "" if channel is None else f"[{channel}] "
        voice = None if channel is None else f"Channel {channel}"
        expected = said(written, channel)
        assert [line.removeprefix(label) for line in lines if line.startswith(label)] == expected
        assert letters("".join(cue.text for cue in cues if cue.voice == voice)) == letters("".join(expected))
        own = "".join(cue.text.removeprefix(label) for cue in numbered if cue.text.startswith(label))
        assert letters(own) == letters("".join(expected))


@given(st.lists(SPACED, min_size=1, max_size=60), knobs)
def test_words_are_neither_split_nor_glued(words: list[str], set_to: TranscriptSettings) -> None:
    written = document(Segment(0, 30, " ".join(words)))
    assert " ".join(cue.text for cue in read_vtt(render(written, Format.VTT, set_to))).split() == words


@given(documents, knobs)
@settings(max_examples=50)
def test_renderings_of_the_committed_bytes_are_those_of_the_document(
    written: TranscriptDocument, set_to: TranscriptSettings
) -> None:
    committed = TranscriptDocument.from_bytes(written.to_bytes())
    assert committed == written
    assert all(render(committed, format_, set_to) == render(written, format_, set_to) for format_ in Format)
