import math
from dataclasses import replace

import pytest

from tests.unit.transcript.transcripts import part, report, spoken
from transcriber_worker.domain.audio import Notice, Span, TranscriptWarning
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.domain.transcript import HeardWindow, Segment, Word
from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.assemble import Assembled, HeardPart, Language, assemble

SETTINGS = TranscriptSettings()
DETECT = SpeechOptions()


def assembled(
    *parts: HeardPart, end_s: float = 60.0, speech_s: float = 50.0, options: SpeechOptions = DETECT
) -> Assembled:
    return assemble(parts, report(end_s, speech_s), options, SETTINGS)


def codes(result: Assembled) -> list[str]:
    return [warning.code for warning in result.warnings]


def test_windows_come_together_in_order_of_time() -> None:
    late = part(Segment(31, 33, " Second."), core=Span(30, 60))
    early = part(Segment(1, 2, " Zeroth."), Segment(2.5, 3, " First."), core=Span(0, 30))
    assert [s.text for s in assembled(late, early).segments] == ["Zeroth.", "First.", "Second."]


def test_fragments_in_the_wrong_order_still_find_each_other() -> None:
    heard = part(Segment(1.1, 2, " world."), Segment(0, 1, " Hello"))
    assert [s.text for s in assembled(heard).segments] == ["Hello world."]


def test_channels_interleave_by_time_and_keep_their_numbers() -> None:
    left = part(Segment(0, 2, " Hello?"), Segment(4, 5, " Good, thanks,"), channel=0)
    right = part(Segment(0, 1, " Hi!"), Segment(2, 3, " How are you,"), Segment(5.1, 6, " and"), channel=1)
    result = assembled(right, left)
    assert [(s.channel, s.text) for s in result.segments] == [
        (0, "Hello?"),
        (1, "Hi!"),
        (1, "How are you,"),
        (0, "Good, thanks,"),
        (1, "and"),
    ]


def test_a_window_s_channel_wins_over_what_the_engine_wrote() -> None:
    assert assembled(part(Segment(0, 2, " Hello.", channel=None), channel=1)).segments[0].channel == 1


def test_times_are_held_within_the_file() -> None:
    words = (Word(-0.4, 0.5, " Hello", 1.0), Word(9.0, 12.0, " world.", 1.0))
    (segment,) = assembled(part(Segment(-0.4, 12.0, " Hello world.", words=words)), end_s=10.0).segments
    assert (segment.start_s, segment.end_s) == (0.0, 10.0)
    assert [(w.start_s, w.end_s) for w in segment.words] == [(0.0, 0.5), (9.0, 10.0)]


def test_times_that_run_backwards_or_are_no_number_are_made_usable() -> None:
    heard = part(Segment(5.0, 4.0, " Back."), Segment(math.nan, math.inf, " Nowhere."), core=Span(2.0, 8.0))
    assert [(s.start_s, s.end_s) for s in assembled(heard).segments] == [(2.0, 8.0), (5.0, 5.0)]


def test_blank_segments_are_no_segments() -> None:
    assert assembled(part(Segment(0, 1, " \x00"), Segment(1, 2, " Word."))).segments[0].text == "Word."


def test_fragments_are_merged_and_loops_cut() -> None:
    heard = part(Segment(0, 1, " He said"), Segment(1.1, 2, " so."), Segment(3, 30, " on and" * 30))
    result = assembled(heard)
    assert [s.text for s in result.segments] == ["He said so.", "on and on and"]
    assert codes(result) == [Notice.REPETITION]


@pytest.mark.parametrize(
    ("logprob", "no_speech", "flags"),
    [
        (-0.2, 0.1, ()),
        (-1.0, 0.6, ()),
        (-1.01, 0.1, ("low_confidence",)),
        (-0.2, 0.61, ("no_speech_likely",)),
        (-2.0, 0.9, ("low_confidence", "no_speech_likely")),
        (math.nan, 0.1, ("low_confidence",)),
        (-math.inf, 0.1, ("low_confidence",)),
    ],
)
def test_doubtful_segments_are_flagged_by_the_settings(logprob: float, no_speech: float, flags: tuple[str]) -> None:
    heard = part(Segment(0, 1, " Word.", avg_logprob=logprob, no_speech_prob=no_speech))
    assert assembled(heard).segments[0].flags == flags


def test_flags_of_the_engine_stay() -> None:
    assert assembled(part(Segment(0, 1, " Word.", flags=("repetition",)))).segments[0].flags == ("repetition",)


def test_a_doubtful_fragment_is_not_hidden_in_a_good_sentence() -> None:
    heard = part(Segment(0, 5, " This is clear and"), Segment(5, 6, " mumble", avg_logprob=-1.5))
    assert [s.flags for s in assembled(heard).segments] == [(), ("low_confidence",)]


def test_quality_is_weighted_by_duration() -> None:
    heard = part(Segment(0, 3, " One.", avg_logprob=-0.2), Segment(3, 4, " Two.", avg_logprob=-1.8))
    result = assembled(heard)
    assert result.quality.mean_logprob == pytest.approx(-0.6)
    assert result.quality.low_confidence_share == pytest.approx(0.25)
    assert result.quality.no_speech is False
    assert codes(result) == []


def test_a_mostly_doubtful_transcript_says_so() -> None:
    assert codes(assembled(part(Segment(0, 3, " One.", avg_logprob=-1.2)))) == [Notice.LOW_CONFIDENCE]


@pytest.mark.parametrize("parts", [(), (part(language="en"),), (part(Segment(0, 1, "  "), probability=0.2),)])
def test_no_speech_is_a_result_of_its_own(parts: tuple[HeardPart, ...]) -> None:
    result = assembled(*parts, speech_s=0.0)
    assert result.segments == ()
    assert result.language == Language(None, None)
    assert result.quality.no_speech is True
    assert result.quality.mean_logprob is None
    assert [(w.code, w.message) for w in result.warnings] == [(Notice.NO_SPEECH, "no speech was found")]


def test_speech_in_which_no_words_were_heard_is_told_apart() -> None:
    assert "4.2 s" in assembled(speech_s=4.2).warnings[0].message


def test_what_the_reader_reported_comes_first() -> None:
    damage = TranscriptWarning(Notice.DAMAGED, "3 packets were damaged", Span(4, 5))
    result = assemble([], report(warnings=(damage,)), SpeechOptions(), SETTINGS)
    assert result.warnings[0] == damage
    assert codes(result) == [Notice.DAMAGED, Notice.NO_SPEECH]


def test_the_language_is_that_of_most_speech_with_the_probability_of_its_detection() -> None:
    parts = (
        part(Segment(0, 1, " Olá."), language="pt", probability=0.6, core=Span(0, 10)),
        part(Segment(11, 19, " Hello."), language="en", probability=0.7, core=Span(10, 20)),
        part(Segment(21, 29, " World."), language="en", probability=0.99, core=Span(20, 30)),
        part(language="de", probability=0.9, core=Span(30, 60)),
    )
    assert assembled(*parts).language == Language("en", 0.7)


@pytest.mark.parametrize(("probability", "warned"), [(0.49, True), (0.5, False), (math.nan, True)])
def test_an_uncertain_language_is_warned_of(probability: float, warned: bool) -> None:
    result = assembled(part(Segment(0, 1, " Word."), probability=probability))
    assert (Notice.LANGUAGE_UNCERTAIN in codes(result)) is warned


@pytest.mark.parametrize("options", [SpeechOptions(language="pt"), SpeechOptions(languages=("pt",))])
def test_a_given_language_is_certain(options: SpeechOptions) -> None:
    result = assembled(part(Segment(0, 1, " Olá."), language="pt", probability=0.1), options=options)
    assert result.language == Language("pt", None)
    assert codes(result) == []


def test_channels_tell_their_languages_where_they_differ() -> None:
    english = part(Segment(0, 9, " Hello."), channel=0)
    german = part(Segment(1, 2, " Hallo."), language="de", probability=0.8, channel=1)
    assert assembled(english, german).channel_languages == ((0, Language("en", 0.9)), (1, Language("de", 0.8)))
    assert assembled(english, replace(english, channel=1)).channel_languages == ()


def test_an_engine_that_knows_no_language_makes_none_up() -> None:
    assert assembled(part(Segment(0, 1, " Word."), language=None)).language == Language(None, None)


def test_the_order_of_the_parts_does_not_matter() -> None:
    parts = [part(spoken(f"Part {i}.", i * 10.0), core=Span(i * 10, i * 10 + 10), channel=i % 2) for i in range(6)]
    assert assembled(*parts) == assembled(*reversed(parts))


def test_a_reader_is_told_where_speech_has_no_words() -> None:
    late = HeardPart(None, Span(30, 60), HeardWindow((spoken("the end", 50.0),), "en", 0.9, lost=(Span(31, 33.5),)))
    early = HeardPart(None, Span(0, 30), HeardWindow((spoken("we begin"),), "en", 0.9, wordless=(Span(10, 13),)))
    hole, gap = assembled(late, early).warnings
    assert (hole.code, hole.span) == (Notice.SPEECH_WITHOUT_WORDS, Span(10, 13))
    assert (gap.code, gap.span) == (Notice.NOT_TRANSCRIBED, Span(31, 33.5))
    assert "3.0 s" in hole.message
    assert "2.5 s" in gap.message
