"""The yardstick itself."""

import pytest

from tests.wer import Errors, wer, word_errors, words_of


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
