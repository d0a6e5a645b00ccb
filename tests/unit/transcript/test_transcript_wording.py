import pytest

from transcriber_worker.transcript.wording import display_width, ends_sentence, joined, may_break, plain, tokens


@pytest.mark.parametrize("text", ["Yes.", "Yes!", "Really?", 'He said "no."', "(Done.)", "和平。", "है।", "Well…"])
def test_a_full_stop_of_any_script_ends_a_sentence(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["my fellow Americans,", "and", "", '"', "3.5 litres"])
def test_anything_else_does_not_end_a_sentence(text: str) -> None:
    assert not ends_sentence(text)


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("Hello", "world", "Hello world"),
        ("Hello ", " world", "Hello world"),
        ("你好，", "世界", "你好，世界"),
        ("我用", " Python", "我用 Python"),
        ("안녕", "하세요", "안녕 하세요"),
        ("", "Hello", "Hello"),
    ],
)
def test_texts_are_joined_as_their_script_writes_words(before: str, after: str, whole: str) -> None:
    assert joined(before, after) == whole


def test_tokens_know_neither_case_nor_punctuation() -> None:
    assert [token.key for token in tokens("No, NO — don't!")] == ["no", "no", "dont"]


def test_a_word_with_combining_marks_is_one_token() -> None:
    assert len(tokens("हिन्दी में")) == 2


def test_each_character_of_an_unspaced_script_is_a_token_of_half_a_word() -> None:
    found = tokens("谢谢, ok")
    assert [(token.key, token.words) for token in found] == [("谢", 0.5), ("谢", 0.5), ("ok", 1.0)]


@pytest.mark.parametrize(
    ("pair", "allowed"),
    [
        ("你好", True),
        ("用P", True),
        ("n编", True),
        ("好。", False),
        ("「好", False),
        ("きゃ", False),
        ("スー", False),
        ("ab", False),
    ],
)
def test_a_line_breaks_between_unspaced_characters_but_not_around_their_punctuation(pair: str, allowed: bool) -> None:
    assert may_break(pair[0], pair[1]) is allowed


def test_wide_characters_take_two_columns() -> None:
    assert display_width("ab你好") == 6


def test_plain_text_is_one_line_without_control_characters() -> None:
    assert plain("\ufeffa\x00b\r\n\n c\u2028d\x1b ") == "a b c d"
