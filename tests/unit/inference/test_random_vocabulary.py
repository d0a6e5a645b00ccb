"""The vocabulary of random models: large-v3's, out of the files of a smaller model."""

import json
from pathlib import Path
from typing import Any

import pytest

from transcriber_worker.inference.random_model.vocabulary import Vocabulary

TEXT = ["Ġthe", "Ġriver", "!", "Ġa", "Ġboat", "ing", "ĠRome", ""]
CONTROL = [
    "endoftext",
    "startoftranscript",
    "en",
    "su",
    "translate",
    "transcribe",
    "nocaptions",
    "notimestamps",
    "0.00",
]
SMALL = [*TEXT, *(f"<|{name}|>" for name in CONTROL)]


def a_small_model(folder: Path, tokens: list[str] = SMALL) -> Path:
    def entry(token: str) -> dict[str, Any]:
        return {"id": tokens.index(token), "content": token, "special": True}

    (folder / "vocabulary.txt").write_text("".join(f"{token}\n" for token in tokens))
    config = {"suppress_ids": [2, tokens.index("<|transcribe|>")], "suppress_ids_begin": [0]}
    (folder / "config.json").write_text(json.dumps(config))
    special = {token: {"ids": [tokens.index(token)]} for token in ("<|endoftext|>", "<|notimestamps|>")}
    tokenizer = {
        "added_tokens": [entry(f"<|{name}|>") for name in CONTROL[:-1]],
        "post_processor": {"special_tokens": special},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_one_language_more_moves_what_is_behind_it(tmp_path: Path) -> None:
    found = Vocabulary.read(a_small_model(tmp_path))
    at = SMALL.index("<|translate|>")
    assert list(found.tokens) == [*SMALL[:at], "<|yue|>", *SMALL[at:]]
    assert [found.tokens[number] for number in found.languages] == ["<|en|>", "<|su|>", "<|yue|>"]
    assert [found.tokens[number] for number in found.suppressed] == ["!", "<|transcribe|>"]
    assert found.suppressed_at_first == (0,)


def test_the_tokenizer_numbers_them_as_the_vocabulary_does(tmp_path: Path) -> None:
    found = Vocabulary.read(a_small_model(tmp_path))
    added = {token["content"]: token["id"] for token in found.tokenizer["added_tokens"]}
    assert {found.tokens[number]: number for number in added.values()} == added
    assert "<|yue|>" in added
    assert list(added.values()) == sorted(added.values())
    special = found.tokenizer["post_processor"]["special_tokens"]
    assert special["<|notimestamps|>"]["ids"] == [found.id("notimestamps")]
    assert special["<|endoftext|>"]["ids"] == [found.id("endoftext")]


def test_words_are_whole_ones(tmp_path: Path) -> None:
    found = Vocabulary.read(a_small_model(tmp_path))
    assert [found.tokens[number] for number in found.words(3)] == ["Ġthe", "Ġriver", "Ġboat"]
    with pytest.raises(ValueError, match="4 words are wanted of 3"):
        found.words(4)


@pytest.mark.parametrize("tokens", [["Ġthe", "<|endoftext|>"], [*SMALL, "<|yue|>"]], ids=["English only", "large-v3"])
def test_another_models_vocabulary_is_refused(tmp_path: Path, tokens: list[str]) -> None:
    (tmp_path / "vocabulary.txt").write_text("\n".join(tokens))
    with pytest.raises(ValueError, match="not the small multilingual model"):
        Vocabulary.read(tmp_path)
