"""What of a window is decoded again, and how, until all of it is settled."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.speech import a_window
from tests.unit.inference.batched.hearsay import a_busy_window, heard, numbered, play
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.transcript import HeardWindow, Word
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Decoded, Recipe
from transcriber_worker.inference.batched.window_work import WindowWork
from transcriber_worker.observability.labels import Retry

LOOP = " ".join(["and so on"] * 12)
TIMESTAMPS = Recipe(timestamps=True)


def a_work(window: Window, *, adaptive: bool = False, prompt: str = "", mixed: bool = False) -> WindowWork:
    return WindowWork(window, adaptive=adaptive, echoed=lambda text: bool(prompt) and prompt in text, mixed=mixed)


def text(heard_window: HeardWindow) -> str:
    return "".join(segment.text for segment in heard_window.segments)


def filling(passage: Passage, *, logprob: float = -0.2, compression: float = 1.3) -> Decoded:
    """Words all over the passage, one a second."""
    words, end_s = numbered(max(1, round(passage.duration_s))), passage.duration_s
    return heard(words, end_s=end_s, recipe=passage.recipe, logprob=logprob, compression=compression)


def test_a_window_without_speech_is_done_at_once() -> None:
    work = a_work(a_window(speech=[]))
    assert work.begin() == ()
    assert work.done
    assert work.heard_window("en", 0.9) == HeardWindow((), "en", 0.9)


def test_what_is_heard_well_is_heard_once() -> None:
    window = a_window(seconds=60, start_s=100, speech=[Span(101, 111), Span(140, 155)])
    work = a_work(window)
    played = play(work, filling)
    assert [passage.spans for passage in played] == [window.speech]
    heard_window = work.heard_window("de", 0.7)
    assert (heard_window.language, heard_window.language_probability, heard_window.tokens) == ("de", 0.7, 25)
    assert text(heard_window).split() == numbered(25).split()
    assert (heard_window.holes_found, heard_window.lost, work.retries) == (0, (), ())
    words = [word for segment in heard_window.segments for word in segment.words]
    assert (words[0].start_s, words[9].end_s, words[10].start_s, words[24].end_s) == (101, 111, 140, 155)


def test_the_models_silence_is_believed_and_its_words_are_not() -> None:
    """Even where the detector is sure of speech: then it is told."""
    work = a_work(a_busy_window(5))
    assert len(play(work, lambda _: heard("thank you", no_speech=0.9, logprob=-1.4))) == 1
    found = work.heard_window("en", 0.9)
    assert (found.segments, found.holes_found, found.wordless) == ((), 0, (Span(0, 5),))


def test_words_that_a_model_invents_are_not_asked_for_again() -> None:
    """A third of a second: whatever it is taken for, hotter attempts only find something else to say."""
    work = a_work(a_busy_window(0.3))
    doubtful = heard(words=[Word(0.0, 0.3, " Wait.", 0.09)], logprob=-1.2)
    assert len(play(work, lambda _: replace(doubtful, text=" Wait."))) == 1
    assert work.heard_window("en", 0.9).segments == ()


@pytest.mark.parametrize(("logprob", "compression"), [(-0.2, 3.0), (-1.3, 1.3), (float("nan"), 1.3)])
def test_a_bad_row_is_split_at_its_longest_pause(logprob: float, compression: float) -> None:
    work = a_work(a_busy_window(20, pauses=[(1, 4), (8, 8.5), (12, 13), (17, 19)]))
    played = play(
        work, lambda p: filling(p, logprob=logprob, compression=compression) if p.duration_s == 20 else filling(p)
    )
    assert [passage.spans for passage in played] == [(Span(0, 20),), (Span(0, 12.5),), (Span(12.5, 20),)]
    assert work.retries == ((Retry.SPLIT, 2),)
    assert len(text(work.heard_window("en", 0.9)).split()) == 12 + 8


def test_a_loop_is_a_bad_row_whatever_its_figures() -> None:
    work = a_work(a_busy_window(20, pauses=[(9, 10)]))
    assert len(play(work, lambda p: heard(LOOP, end_s=20) if p.duration_s == 20 else filling(p))) == 3
    assert "and so on" not in text(work.heard_window("en", 0.9))


def test_without_a_pause_that_leaves_two_halves_it_is_heard_with_timestamps_then_hotter() -> None:
    work = a_work(a_busy_window(7, pauses=[(3, 3.5)]))
    played = play(work, lambda passage: filling(passage, logprob=-1.3))
    assert [passage.recipe for passage in played] == [
        Recipe(),
        TIMESTAMPS,
        *(Recipe(timestamps=True, temperature=t) for t in (0.2, 0.4, 0.6, 0.8, 1.0)),
    ]
    assert work.retries == ((Retry.TIMESTAMPS, 1), (Retry.TEMPERATURE, 5))


def test_halves_are_not_split_again() -> None:
    work = a_work(a_busy_window(28, pauses=[(5, 5.5), (14, 15), (22, 22.5)]))
    played = play(work, lambda passage: filling(passage, logprob=-1.3))
    assert len({passage.spans for passage in played}) == 3
    assert len(played) == 1 + 2 * 7


def test_the_first_good_try_ends_the_search() -> None:
    work = a_work(a_busy_window(5))
    played = play(work, lambda p: filling(p, logprob=-0.5 if p.recipe.temperature == 0.4 else -1.2))
    assert played[-1].recipe.temperature == 0.4
    assert {s.temperature for s in work.heard_window("en", 0.9).segments} == {0.4}


def test_without_a_good_try_the_likeliest_is_kept_and_a_loop_only_for_want_of_another() -> None:
    tries = iter([(LOOP, -0.1), (numbered(5), -1.5), (numbered(5, 10), -1.2), *[(numbered(5, 20), -1.9)] * 4])
    work = a_work(a_busy_window(5))
    play(work, lambda p: heard((said := next(tries))[0], end_s=5, logprob=said[1], recipe=p.recipe))
    assert text(work.heard_window("en", 0.9)).split() == numbered(5, 10).split()
    loops = a_work(a_busy_window(5))
    play(loops, lambda p: heard(LOOP, end_s=5, logprob=-0.1 - p.recipe.temperature, recipe=p.recipe))
    assert {segment.temperature for segment in loops.heard_window("en", 0.9).segments} == {0.0}


def test_an_echo_of_the_prompt_is_heard_again_without_it() -> None:
    work = a_work(a_busy_window(5), prompt="Glossary")
    played = play(work, lambda p: heard("Glossary follows here", end_s=5) if p.with_prompt else filling(p))
    assert [passage.with_prompt for passage in played] == [True, False]
    assert work.retries == ((Retry.NO_PROMPT, 1),)
    assert "Glossary" not in text(work.heard_window("en", 0.9))


def test_words_of_the_prompt_that_are_heard_without_it_too_were_said() -> None:
    work = a_work(a_busy_window(1), prompt="Schoeffer")
    played = play(work, lambda p: heard("Peter Schoeffer" if p.with_prompt else "Peter Shoffer", end_s=1))
    assert len(played) == 2
    assert text(work.heard_window("en", 0.9)) == " Peter Schoeffer"


def test_where_nobody_speaks_the_prompt_was_not_said() -> None:
    work = a_work(a_busy_window(1), prompt="Schoeffer")
    silent = heard("Peter Schoeffer", end_s=1, no_speech=0.9, logprob=-1.5)
    play(work, lambda p: heard("Peter Schoeffer", end_s=1) if p.with_prompt else silent)
    assert work.heard_window("en", 0.9).segments == ()


def test_what_sounds_like_the_prompt_without_having_it_was_said() -> None:
    work = a_work(a_busy_window(1.5), prompt="Glossary")
    with_it, without = heard("Glossary of all that follows here", end_s=1.5), heard("Glossary", end_s=1.5)
    assert len(play(work, lambda passage: with_it if passage.with_prompt else without)) == 2
    assert text(work.heard_window("en", 0.9)) == " Glossary"


@pytest.mark.parametrize(("compression", "end_s"), [(3.0, 20.0), (1.3, 2.0)])
def test_a_loop_or_missing_words_in_a_shortened_row_lead_to_full_length_first(compression: float, end_s: float) -> None:
    work = a_work(a_busy_window(20, pauses=[(9, 10)]), adaptive=True)

    def model(passage: Passage) -> Decoded:
        said = filling(passage)
        return said if passage.full_length else heard(said.text, end_s=end_s, compression=compression)

    played = play(work, model)
    assert [passage.full_length for passage in played] == [False, True]
    assert work.retries == ((Retry.FULL_LENGTH, 1),)


@pytest.mark.parametrize(("at_full_length", "expected"), [("it is so", "it is so"), ("no. no.", "no. no.")])
def test_a_shortened_row_that_says_everything_twice_is_heard_at_full_length_and_that_counts(
    at_full_length: str, expected: str
) -> None:
    """Short clips come back twice with figures as good as any."""
    work = a_work(a_busy_window(1.5), adaptive=True)
    twice = heard(f"{at_full_length} {at_full_length}", end_s=1.5, logprob=-0.1)
    played = play(work, lambda p: heard(at_full_length, end_s=1.5, logprob=-0.4) if p.full_length else twice)
    assert [passage.full_length for passage in played] == [False, True]
    assert text(work.heard_window("en", 0.9)).strip() == expected


def test_a_doubtful_shortened_row_is_doubted_for_another_reason() -> None:
    work = a_work(a_busy_window(20, pauses=[(9, 10)]), adaptive=True)
    play(work, lambda p: filling(p, logprob=-1.2 if p.duration_s == 20 else -0.2))
    assert work.retries == ((Retry.SPLIT, 2),)


def test_speech_without_words_is_heard_by_itself() -> None:
    """A hole in the middle: the words found go between those around it, in a segment of their own."""
    around = heard(numbered(5), end_s=5).words + heard(numbered(5, 5), start_s=11, end_s=16).words
    work = a_work(a_busy_window(16), adaptive=True)

    def model(passage: Passage) -> Decoded:
        if passage.duration_s == 16:
            return heard(numbered(10), words=around)
        assert passage.full_length
        assert passage.spans == (Span(4.8, 11.2),)
        return heard("one two three four", start_s=0.2, end_s=6.2, logprob=-0.4)

    played = play(work, model)
    assert [passage.recipe for passage in played] == [Recipe()] * 3
    found = work.heard_window("en", 0.9)
    assert text(found).split() == [*numbered(5).split(), "one", "two", "three", "four", *numbered(5, 5).split()]
    assert [segment.avg_logprob for segment in found.segments] == [-0.2, -0.4, -0.2]
    assert (found.holes_found, found.holes_rescued, found.wordless) == (1, 1, ())
    assert work.retries == ((Retry.FULL_LENGTH, 1), (Retry.HOLE, 1))


def test_what_stays_of_a_hole_is_heard_once_more_with_timestamps() -> None:
    work = a_work(a_busy_window(16))
    rescues: list[Passage] = []

    def model(passage: Passage) -> Decoded:
        if passage.duration_s == 16:
            return heard(numbered(5), end_s=5)
        rescues.append(passage)
        return heard("one two three", start_s=0.2, end_s=3.2) if len(rescues) == 1 else heard("four five", end_s=7.8)

    play(work, model)
    assert [(p.recipe.timestamps, p.spans) for p in rescues] == [(False, (Span(4.8, 16),)), (True, (Span(7.8, 16),))]
    found = work.heard_window("en", 0.9)
    assert text(found).split() == [*numbered(5).split(), "one", "two", "three", "four", "five"]
    assert (found.holes_found, found.holes_rescued) == (1, 1)


@pytest.mark.parametrize(
    "said",
    [
        heard(),
        heard("one two", logprob=-1.2),
        heard(LOOP, end_s=6.0),
        heard("..."),
        heard("Thank you.", no_speech=0.7, logprob=-0.3),
    ],
    ids=["nothing", "doubtful", "a loop", "no letters", "as in noise"],
)
def test_a_hole_without_good_words_stays_one_and_is_told(said: Decoded) -> None:
    work = a_work(a_busy_window(16))
    assert len(play(work, lambda p: heard(numbered(5), end_s=5) if p.duration_s == 16 else said)) == 3
    found = work.heard_window("en", 0.9)
    assert text(found).split() == numbered(5).split()
    assert (found.holes_found, found.holes_rescued, found.wordless) == (1, 0, (Span(5, 16),))


def test_a_word_stretched_over_a_hole_ends_where_the_words_found_in_it_begin() -> None:
    work = a_work(a_busy_window(8))
    stretched = [Word(0, 7, " long", 0.9), Word(7, 8, " end", 0.9)]
    play(work, lambda p: heard("long end", words=stretched) if p.duration_s == 8 else heard("a b", end_s=5))
    words = [word for segment in work.heard_window("en", 0.9).segments for word in segment.words]
    assert [word.text for word in words] == [" long", " a", " b", " end"]
    assert words[0].end_s <= words[1].start_s < 2


def test_words_beside_the_hole_are_not_heard_twice() -> None:
    work = a_work(a_busy_window(16))
    told = "and so it was told by"
    beside = [Word(0.0, 0.2, " w4", 0.9), *heard(told, start_s=0.2, end_s=11.2).words]
    play(work, lambda p: heard(numbered(5), end_s=5) if p.duration_s == 16 else heard(told, words=beside))
    assert text(work.heard_window("en", 0.9)).split() == [*numbered(5).split(), *told.split()]


def test_a_hole_in_the_neighbours_core_is_the_neighbours() -> None:
    work = a_work(a_busy_window(16, core=Span(0, 6)))
    assert len(play(work, lambda passage: heard(numbered(5), end_s=5))) == 1


def test_a_row_that_fails_is_heard_another_way() -> None:
    work = a_work(a_busy_window(5))
    played = play(work, lambda p: filling(p) if p.recipe.timestamps else ValueError("no"))
    assert len(played) == 2
    assert work.heard_window("en", 0.9).lost == ()
    assert text(work.heard_window("en", 0.9)).split() == numbered(5).split()


def test_what_fails_for_good_is_lost_within_the_core_and_no_hole() -> None:
    work = a_work(a_busy_window(20, pauses=[(9, 10)], core=Span(0, 18)))
    played = play(work, lambda p: ValueError("no") if p.spans[0].end_s == 20 else filling(p))
    assert [passage.spans[0] for passage in played[:3]] == [Span(0, 20), Span(0, 9.5), Span(9.5, 20)]
    found = work.heard_window("en", 0.9)
    assert found.lost == (Span(9.5, 18),)
    assert (found.holes_found, found.wordless) == (0, ())
    assert len(played) == 4


def test_a_try_that_was_heard_is_better_than_none() -> None:
    work = a_work(a_busy_window(5))
    play(work, lambda p: ValueError("no") if p.recipe.timestamps else filling(p, logprob=-1.2))
    found = work.heard_window("en", 0.9)
    assert found.lost == ()
    assert text(found).split() == numbered(5).split()


@pytest.mark.parametrize(
    ("ranking", "end_s"),
    [((("de", 0.8), ("en", 0.2)), 20.0), ((("de", 0.97), ("en", 0.03)), 12.0)],
    ids=["two languages sound through", "speech without words"],
)
def test_where_two_languages_may_meet_each_half_gets_its_own(
    ranking: tuple[tuple[str, float], ...], end_s: float
) -> None:
    work = a_work(a_busy_window(20, pauses=[(11, 12)]), mixed=True)

    def model(passage: Passage) -> Decoded:
        if passage.duration_s == 20:
            return heard(numbered(12), end_s=end_s, language="de", ranking=ranking)
        language = "de" if passage.spans[0].start_s == 0 else "en"
        return replace(filling(passage), language=language, ranking=((language, 0.9), ("fr", 0.1)))

    assert len(play(work, model)) == 3
    assert [segment.language for segment in work.heard_window("de", 0.9).segments] == ["de", "en"]


def test_without_a_pause_two_languages_stay_together() -> None:
    work = a_work(a_busy_window(6), mixed=True)
    played = play(work, lambda p: replace(filling(p), ranking=(("de", 0.6), ("en", 0.4))))
    assert len(played) == 1
    assert text(work.heard_window("de", 0.6)).split() == numbered(6).split()


def test_a_file_in_one_language_is_not_split_for_an_uncertain_ranking() -> None:
    work = a_work(a_busy_window(20, pauses=[(11, 12)]))
    assert len(play(work, lambda p: replace(filling(p), ranking=(("de", 0.6), ("en", 0.4))))) == 1


def test_segments_tell_their_language_only_where_it_may_change() -> None:
    for mixed, expected in ((True, {"de"}), (False, {None})):
        work = a_work(a_busy_window(5), mixed=mixed)
        play(work, lambda p: heard(numbered(5), end_s=5, language="de"))
        assert {segment.language for segment in work.heard_window("de", 0.9).segments} == expected


def anything(seed: int) -> Callable[[Passage], Decoded | Exception]:
    """A model that says anything, times out of order and out of bounds among it."""
    chance = random.Random(seed)

    def model(passage: Passage) -> Decoded | Exception:
        if chance.random() < 0.1:
            return ValueError("no")
        words = []
        for at in range(chance.choice([0, 0, 1, 3, 10, 40, 100])):
            start_s = chance.uniform(-5, 40)
            spelled = chance.choice([f" w{at}", " a", "", " ...", "字"])
            words.append(Word(start_s, start_s + chance.uniform(-1, 12), spelled, chance.random()))
        return replace(
            heard(words=sorted(words, key=lambda word: word.start_s) if chance.random() < 0.5 else words),
            text=chance.choice(["".join(word.text for word in words), LOOP, "Glossary"]),
            avg_logprob=chance.uniform(-2, 0),
            no_speech_prob=chance.random(),
            compression_ratio=chance.uniform(0.5, 3),
            recipe=passage.recipe,
            ranking=(("en", chance.random()),),
        )

    return model


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.data())
def test_whatever_the_model_says(seed: int, adaptive: bool, mixed: bool, data: st.DataObject) -> None:
    """It ends within a bounded number of rows; no word lies outside the window, none comes twice, times ascend."""
    edges = sorted(data.draw(st.lists(st.integers(0, 290), min_size=2, max_size=8, unique=True)))
    speech = [Span(a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    pauses = [Span(s.start_s + s.duration_s / 3, s.start_s + s.duration_s / 2) for s in speech if s.duration_s > 1]
    window = replace(a_window(seconds=29, speech=speech, core=Span(2, 27)), pauses=tuple(pauses))
    work = a_work(window, adaptive=adaptive, prompt="Glossary", mixed=mixed)
    played = play(work, anything(seed))
    assert len(played) <= 80
    found = work.heard_window("en", 0.5)
    words = [word for segment in found.segments for word in segment.words]
    for word in words:
        assert 0 <= word.start_s <= word.end_s <= 29
    for before, behind in pairwise(words):
        assert before.end_s <= behind.start_s
    assert all(segment.text == "".join(word.text for word in segment.words) for segment in found.segments)
    assert found.holes_rescued <= found.holes_found
    assert all(window.core.start_s <= span.start_s < span.end_s <= window.core.end_s for span in found.lost)
