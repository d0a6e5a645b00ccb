"""The yardstick itself."""

import random

import pytest

from transcriber_worker.tools.bench.word_errors import (
    Errors,
    best_beginning,
    missing_run,
    wer,
    word_errors,
    words_of,
)


def test_case_punctuation_and_curly_quotes_do_not_count() -> None:
    assert words_of("“It’s 42-line, ‘fine’ — Bible!”") == ["it's", "42", "line", "fine", "bible"]


@pytest.mark.parametrize(
    ("heard", "edits"),
    [
        ("the quick brown fox", 0),
        ("the quick fox", 1),
        ("the very quick brown fox", 1),
        ("the quick red fox", 1),
        ("", 4),
        ("quick brown fox the", 2),
    ],
)
def test_edits_are_counted_in_words(heard: str, edits: int) -> None:
    assert word_errors("The quick, brown fox.", heard) == Errors(4, edits)


def test_rates_pool_over_files() -> None:
    assert (Errors(90, 0) + Errors(10, 5)).rate == 0.05
    assert wer("", "") == 0.0
    assert wer("", "something") == 1.0


def test_edits_are_those_of_the_textbook() -> None:
    chance = random.Random(7)
    for _ in range(200):
        one, other = (" ".join(chance.choices("abcd", k=chance.randrange(9))) for _ in range(2))
        assert word_errors(one, other).edits == _textbook(one.split(), other.split())


def _textbook(expected: list[str], found: list[str]) -> int:
    if not expected or not found:
        return len(expected) + len(found)
    return min(
        _textbook(expected[1:], found) + 1,
        _textbook(expected, found[1:]) + 1,
        _textbook(expected[1:], found[1:]) + (expected[0] != found[0]),
    )


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        ("One two three four five six seven.", ""),
        ("One two six seven", "three four five"),
        ("six seven", "one two three four five"),
        ("one two", "three four five six seven"),
        ("", "one two three four five six seven"),
        ("one three four six seven", "two"),
        ("one two drei vier fünf six seven", ""),
        ("one two drei six seven", "three four"),
        ("one two and so on three four five six seven", ""),
    ],
)
def test_the_longest_run_of_words_left_out(heard: str, missing: str) -> None:
    """Words heard wrong are there, if wrong; added ones are no loss."""
    assert " ".join(missing_run("One two three, four five six seven.", heard)) == missing


def test_of_several_alignments_the_one_with_the_longest_run_counts() -> None:
    """Else a loss could hide behind the same word elsewhere."""
    assert missing_run("the cat the dog the end", "the end") == ("the", "cat", "the", "dog")
    assert missing_run("a b a c a", "a") == ("a", "b", "a", "c")
    assert missing_run("one two three four five", "x") == ("one", "two", "three", "four")


def test_the_run_is_one_of_an_alignment_with_the_fewest_edits() -> None:
    """Leaving out b to d and adding x y z would be a run of three, at six edits instead of three."""
    assert missing_run("a b c d e", "a x y z e") == ()


@pytest.mark.parametrize(("heard", "words"), [("one two three", 3), ("won two tree four", 4), ("", 0)])
def test_the_beginning_that_fits_best(heard: str, words: int) -> None:
    assert best_beginning("one two three four five six seven eight nine", heard) == words
