"""What is believed of what the model says."""

import pytest

from tests.unit.inference.batched.hearsay import heard, numbered
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.checks import Verdict, fit_for_a_hole, invented, judge, unsure_of_language
from transcriber_worker.inference.batched.rows import Decoded

LOOPING = heard("thank you so much " * 4)


@pytest.mark.parametrize(
    ("decoded", "verdict"),
    [
        (heard(numbered(10)), Verdict.GOOD),
        (heard(), Verdict.GOOD),
        (heard(numbered(10), logprob=-1.0, compression=2.4, no_speech=0.6), Verdict.GOOD),
        (heard(numbered(10), logprob=-1.01), Verdict.DOUBTFUL),
        (heard(numbered(10), logprob=float("nan")), Verdict.DOUBTFUL),
        (heard(numbered(10), logprob=float("-inf")), Verdict.DOUBTFUL),
        (heard(numbered(10), compression=2.41), Verdict.LOOP),
        (heard(numbered(10), compression=2.41, logprob=-1.5), Verdict.LOOP),
        (LOOPING, Verdict.LOOP),
        (heard("no, " * 7), Verdict.GOOD),
        (heard("no, " * 8), Verdict.LOOP),
        (heard(numbered(10), no_speech=0.9), Verdict.GOOD),
        (heard(numbered(10), no_speech=0.61, logprob=-1.01), Verdict.SILENCE),
        (heard("no, " * 8, no_speech=0.61, logprob=-1.01), Verdict.SILENCE),
    ],
)
def test_verdicts(decoded: Decoded, verdict: Verdict) -> None:
    assert judge(decoded, echo=False) is verdict


def test_an_echo_is_one_whatever_its_figures() -> None:
    assert judge(heard(numbered(10)), echo=True) is Verdict.ECHO
    assert judge(LOOPING, echo=True) is Verdict.ECHO


def test_words_in_a_hole_must_be_good_and_no_noise() -> None:
    assert fit_for_a_hole(Verdict.GOOD, heard(no_speech=0.6))
    assert not fit_for_a_hole(Verdict.GOOD, heard(no_speech=0.61))
    assert not fit_for_a_hole(Verdict.DOUBTFUL, heard())


def test_a_row_is_unsure_of_its_language_where_another_one_sounds_through() -> None:
    assert unsure_of_language((("de", 0.94), ("en", 0.06)))
    assert not unsure_of_language((("de", 0.95), ("en", 0.05)))
    assert not unsure_of_language(())


def certain(*pairs: tuple[str, float]) -> list[Word]:
    return [Word(at, at + 1.0, text, probability) for at, (text, probability) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("words", "no_speech", "heard_s", "expected"),
    [
        (certain((" you", 0.27)), 0.65, 10.0, True),
        (certain((" Thank", 0.06), (" you.", 0.97)), 0.65, 0.2, True),
        (certain((" Good", 0.42), (" night.", 0.26)), 0.61, 1.2, False),
        (certain((" you", 0.0)), 0.9, 10.0, True),
        (certain((" you", 0.27)), 0.6, 10.0, False),
        (certain((" Yes.", 0.74)), 0.12, 0.5, False),
        (certain((" Yes.", 0.80)), 0.09, 0.3, False),
        (certain((" Wait.", 0.09)), 0.3, 0.3, True),
        (certain((" Better.", 0.9)), 0.53, 0.3, True),
        (certain((" Wait.", 0.09)), 0.3, 0.4, False),
        (certain((" ...", 0.9), (" —", 0.9)), 0.0, 10.0, True),
        (certain((" 5", 0.9)), 0.0, 10.0, False),
        (certain(("字", 0.9)), 0.0, 10.0, False),
    ],
)
def test_invented_words(words: list[Word], no_speech: float, heard_s: float, expected: bool) -> None:
    """The figures are measured ones."""
    assert invented(words, heard(no_speech=no_speech), heard_s) is expected
