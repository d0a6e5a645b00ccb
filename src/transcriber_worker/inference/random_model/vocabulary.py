"""The vocabulary of large-v3, from the files of a smaller model: the same tokens, and one language more."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VOCABULARY = "vocabulary.txt"
_TOKENIZER = "tokenizer.json"
_CONFIG = "config.json"
_NEW = "<|yue|>"
_BEFORE = "<|translate|>"
_WORD = re.compile("Ġ[a-z]{3,9}")
"""A word with the space before it, as the tokeniser writes it."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, and what has to be known of some of them."""

    tokens: tuple[str, ...]
    tokenizer: dict[str, Any]
    """tokenizer.json, of which only the numbers of the last tokens changed."""
    suppressed: tuple[int, ...]
    suppressed_at_first: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path) -> "Vocabulary":
        """`folder`: a multilingual model of 51865 tokens. Raises `OSError` and `ValueError`."""
        tokens = (folder / _VOCABULARY).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        if _NEW in tokens or _BEFORE not in tokens:
            raise ValueError(f"{folder} is not the small multilingual model whose vocabulary is wanted")
        at = tokens.index(_BEFORE)
        tokens.insert(at, _NEW)
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))

        def moved(ids: list[int]) -> tuple[int, ...]:
            return tuple(number + (number >= at) for number in ids)

        tokenizer = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8"))
        _insert(tokenizer, at)
        return cls(tuple(tokens), tokenizer, moved(config["suppress_ids"]), moved(config["suppress_ids_begin"]))

    def id(self, name: str) -> int:
        """Of a control token: `endoftext`."""
        return self.tokens.index(f"<|{name}|>")

    @property
    def languages(self) -> tuple[int, ...]:
        return tuple(range(self.id("startoftranscript") + 1, self.id("translate")))

    def words(self, count: int) -> tuple[int, ...]:
        """The first so many whole words."""
        found = [number for number, token in enumerate(self.tokens) if _WORD.fullmatch(token)]
        if len(found) < count:
            raise ValueError(f"{count} words are wanted of {len(found)}")
        return tuple(found[:count])


def _insert(tokenizer: dict[str, Any], at: int) -> None:
    added = tokenizer["added_tokens"]
    for token in added:
        token["id"] += token["id"] >= at
    new = {**added[-1], "id": at, "content": _NEW}
    added.insert(next(place for place, token in enumerate(added) if token["id"] > at), new)
    for token in tokenizer["post_processor"]["special_tokens"].values():
        token["ids"] = [number + (number >= at) for number in token["ids"]]
