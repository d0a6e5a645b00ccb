"""Cue building by example; what holds for every input is in test_transcript_render_properties.py."""

from dataclasses import replace

import pytest

from tests.unit.transcript.transcripts import document, spoken
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.cues import Cue, cues

SETTINGS = TranscriptSettings()
TALE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity."
)


def built(*segments: Segment, words: bool = False, audio_s: float = 3600.0, **changed: float) -> list[Cue]:
    return cues(document(*segments, words=words, audio_s=audio_s), SETTINGS.model_copy(update=changed))


def times(found: list[Cue]) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in found]


def test_a_short_segment_is_one_cue_of_one_line() -> None:
    assert built(Segment(1.0, 3.5, "Hello there.")) == [Cue(1000, 3500, None, ("Hello there.",))]


def test_lines_and_cues_break_after_punctuation() -> None:
    assert [cue.lines for cue in built(Segment(0, 18, TALE))] == [
        ("It was the best of times,", "it was the worst of times,"),
        ("it was the age of wisdom,", "it was the age of foolishness,"),
        ("it was the epoch of belief,", "it was the epoch of incredulity."),
    ]


def test_lines_without_punctuation_are_balanced() -> None:
    (cue,) = built(Segment(0, 5, "we walked along the river until the sun had gone down"))
    assert cue.lines == ("we walked along the river", "until the sun had gone down")


def test_text_without_words_is_timed_by_its_length() -> None:
    # 9 characters, a space, 19 characters, a space, 10 characters in 4 s: 0.1 s each.
    found = built(Segment(10.0, 14.0, "a" * 9 + " " + "b" * 19 + " " + "c" * 10), max_lines=1, max_line_chars=20)
    assert times(found) == [(10_000, 11_000), (11_000, 13_000), (13_000, 14_000)]


def test_words_give_the_times() -> None:
    segment = spoken(TALE, start_s=5.0, word_s=0.4)
    first, second, third = built(segment, words=True)
    assert (first.start_ms, second.start_ms, third.start_ms) == (5000, 5000 + 12 * 400, 5000 + 24 * 400)
    assert third.end_ms == round(segment.end_s * 1000)


def test_words_that_do_not_spell_the_text_give_way_to_it() -> None:
    segment = Segment(0, 3, "What was said.", words=(Word(0, 3, " something else", 1.0),))
    assert built(segment, words=True) == [Cue(0, 3000, None, ("What was said.",))]


def test_a_pause_between_words_parts_cues() -> None:
    words = (Word(0, 1, " Well", 1.0), Word(6.0, 6.5, " maybe", 1.0))
    found = built(Segment(0, 6.5, " Well maybe", words=words), words=True)
    assert [(cue.start_ms, cue.lines) for cue in found] == [(0, ("Well",)), (6000, ("maybe",))]


def test_no_cue_is_longer_than_allowed() -> None:
    found = built(spoken("one two three four five six seven eight", word_s=2.0), words=True, max_cue_s=5.0)
    assert all(cue.end_ms - cue.start_ms <= 5000 for cue in found)
    assert [cue.lines for cue in found] == [("one two",), ("three four",), ("five six",), ("seven eight",)]


def test_a_word_drawn_out_over_a_minute_is_shown_once() -> None:
    assert times(built(Segment(0, 60, "Yes.", words=(Word(0, 60, " Yes.", 1.0),)), words=True)) == [(0, 7000)]


def test_a_few_words_in_a_long_segment_are_not_drawn_out() -> None:
    assert [cue.lines for cue in built(Segment(0, 29, "Thank you very much."))] == [("Thank you very much.",)]


def test_a_short_cue_stays_a_second_where_there_is_room() -> None:
    assert times(built(Segment(0, 0.2, "No."), Segment(9, 9.2, "Yes."))) == [(0, 1000), (9000, 10_000)]


def test_a_short_cue_makes_room_for_the_next() -> None:
    assert times(built(Segment(0, 0.2, "No."), Segment(0.5, 2, "Yes."))) == [(0, 500), (500, 2000)]


def test_a_short_cue_does_not_outlast_the_audio() -> None:
    assert times(built(Segment(9.5, 9.6, "End."), audio_s=10.0)) == [(9500, 10_000)]


def test_a_gap_too_short_to_see_is_closed() -> None:
    assert times(built(Segment(0, 2, "One."), Segment(2.15, 4, "Two."), Segment(4.5, 6, "Three."))) == [
        (0, 2150),
        (2150, 4000),
        (4500, 6000),
    ]


def test_overlapping_segments_of_a_channel_follow_each_other() -> None:
    assert times(built(Segment(0, 4, "One."), Segment(3, 5, "Two."))) == [(0, 3000), (3000, 5000)]


def test_channels_may_overlap() -> None:
    found = built(Segment(0, 4, "One.", channel=0), Segment(3, 5, "Two.", channel=1))
    assert [(cue.channel, cue.start_ms, cue.end_ms) for cue in found] == [(0, 0, 4000), (1, 3000, 5000)]


def test_segments_at_one_instant_still_make_cues_in_order() -> None:
    found = built(*(Segment(10, 10, f"Word {i}.") for i in range(3)), audio_s=10.0)
    assert [cue.lines for cue in found] == [("Word 0.",), ("Word 1.",), ("Word 2.",)]
    assert times(found) == [(10_000, 10_001), (10_001, 10_002), (10_002, 10_003)]


def test_a_word_longer_than_a_line_stands_alone() -> None:
    donau = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamter"
    (cue,) = built(Segment(0, 5, f"Der {donau} kam."), max_lines=3)
    assert cue.lines == ("Der", donau, "kam.")


@pytest.mark.parametrize("script", ["今天天气很好", "きょうはいい", "วันนี้อากาศ"])
def test_text_without_spaces_wraps(script: str) -> None:
    found = built(Segment(0, 30, script * 20))
    lines = [line for cue in found for line in cue.lines]
    assert "".join(lines) == script * 20
    assert len(lines) > 2
    assert all(len(line) <= 42 for line in lines)


def test_wide_characters_fill_a_line_twice_as_fast() -> None:
    lines = [line for cue in built(Segment(0, 10, "好" * 84)) for line in cue.lines]
    assert [len(line) for line in lines] == [21, 21, 21, 21]


def test_closing_punctuation_never_begins_a_line() -> None:
    lines = [line for cue in built(Segment(0, 20, "好" * 21 + "。" + "好" * 21 + "，" + "好")) for line in cue.lines]
    assert not any(line[0] in "。，" for line in lines)


def test_word_pieces_without_a_space_stay_together() -> None:
    words = (Word(0, 1, " well", 1.0), Word(1, 2, "-known", 1.0), Word(2, 3, " fact", 1.0))
    (cue,) = built(Segment(0, 3, " well-known fact", words=words), words=True)
    assert cue.lines == ("well-known fact",)


def test_control_characters_and_line_breaks_become_spaces() -> None:
    assert built(Segment(0, 2, "one\n\ntwo\x00three\r\n"))[0].lines == ("one two three",)


def test_a_label_takes_its_room() -> None:
    segment = Segment(0, 5, "x" * 20 + " " + "y" * 20, channel=1)
    free = cues(document(segment), SETTINGS)
    labelled = cues(document(segment), SETTINGS, lambda channel: f"[{channel}] ")
    assert (len(free[0].lines), len(labelled[0].lines)) == (1, 2)


def test_words_that_run_backwards_do_not_turn_time_back() -> None:
    segment = spoken("one two three", 5.0)
    words = (segment.words[0], replace(segment.words[1], start_s=1.0, end_s=0.5), segment.words[2])
    assert times(built(replace(segment, words=words), words=True)) == [(5000, 6500)]


def test_words_that_reach_into_the_next_segment_share_the_time_before_it() -> None:
    long = spoken("fourteen letters fourteen letters fourteen letters", word_s=1.0)
    found = built(long, Segment(2, 4, "Next."), words=True, max_lines=1, max_line_chars=16)
    assert found[-1].lines == ("Next.",)
    assert all(cue.end_ms - cue.start_ms >= 300 for cue in found)
