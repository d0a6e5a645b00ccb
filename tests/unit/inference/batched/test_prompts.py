"""Prompts and hotwords of different files come to a few equal lengths, by prose before them and nothing else."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.inference.batched.prompts import LEAST_PROSE_TOKENS, LENGTHS, NO_PROMPT, Prompt, PromptBook
from transcriber_worker.inference.batched.prose import PROSE
from transcriber_worker.inference.options import MAX_HOTWORD_TOKENS, MAX_PROMPT_TOKENS

CONTROL = "<|en|>"


class Letters:
    """A tokenizer of pieces of at most four letters, none of them reaching from one word into the next."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._pieces: list[str] = []

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._id(piece) for word in text.split() for piece in self._pieces_of(word))

    def count_text(self, tokens: Sequence[int]) -> int:
        return sum(CONTROL not in self._pieces[token] for token in tokens)

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._pieces[token] for token in tokens).strip()

    def _pieces_of(self, word: str) -> list[str]:
        if word == CONTROL:
            return [word]
        spaced = f" {word}"
        return [spaced[at : at + 4] for at in range(0, len(spaced), 4)]

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._ids[piece]


@pytest.fixture(scope="module")
def letters() -> Letters:
    return Letters()


@pytest.fixture(scope="module")
def book(letters: Letters) -> PromptBook:
    return PromptBook(letters.encode, letters.count_text)


def of_tokens(count: int) -> str:
    """A prompt of so many tokens."""
    return " ".join(["abc"] * count)


def before(letters: Letters, prompt: Prompt, own: Sequence[int]) -> str:
    """The text that stands before a file's own."""
    return letters.decode(prompt.tokens[: len(prompt.tokens) - len(own)])


words = st.text(alphabet="abcdefghijklmnop", min_size=1, max_size=12)
languages = st.sampled_from([*PROSE, "pl", None])


@settings(deadline=None)
@given(st.lists(words, max_size=30), st.lists(words, max_size=20), languages)
def test_a_files_own_text_is_whole_and_last_behind_prose_that_ends_as_prose_ends(
    letters: Letters, book: PromptBook, prompt: list[str], hotwords: list[str], language: str | None
) -> None:
    own = letters.encode(", ".join(hotwords)) + letters.encode(" ".join(prompt))

    fitted = book.fitted(" ".join(prompt), hotwords, language)

    assert len(fitted.tokens) in (*LENGTHS, len(own))
    assert fitted.tokens[len(fitted.tokens) - len(own) :] == own
    prose = before(letters, fitted, own)
    source = PROSE[language if language in PROSE else "en"].split()
    assert prose == "" or prose.endswith((".", "!", "?"))
    assert is_one_run(prose.split(), source)


def is_one_run(run: list[str], source: list[str]) -> bool:
    """Whether `run` stands in `source`, which may begin anew at its end, and nothing is said twice."""
    round_twice = source + source
    return len(run) <= len(source) and any(round_twice[at : at + len(run)] == run for at in range(len(source)))


@pytest.mark.parametrize("language", [*PROSE, None])
@pytest.mark.parametrize("tokens", [1, 20, 24, 33, 64 - LEAST_PROSE_TOKENS, 65, 100, 129, 200])
def test_files_of_about_a_length_share_it(book: PromptBook, tokens: int, language: str | None) -> None:
    expected = next(length for length in LENGTHS if length - tokens >= LEAST_PROSE_TOKENS)
    assert len(book.fitted(of_tokens(tokens), (), language).tokens) == expected


@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_text_of_such_a_length_needs_nothing_before_it(letters: Letters, book: PromptBook, tokens: int) -> None:
    assert book.fitted(of_tokens(tokens), (), "en").tokens == letters.encode(of_tokens(tokens))


def test_no_shred_of_a_sentence_stands_before_a_text(book: PromptBook) -> None:
    """With too little room for prose the text goes to the next length; behind the last one there is none."""
    too_close = range(LENGTHS[0] - LEAST_PROSE_TOKENS + 1, LENGTHS[0])
    assert {len(book.fitted(of_tokens(tokens), (), "en").tokens) for tokens in too_close} == {LENGTHS[1]}
    assert len(book.fitted(of_tokens(MAX_PROMPT_TOKENS - 1), (), "en").tokens) == MAX_PROMPT_TOKENS - 1


def test_hotwords_stand_where_faster_whisper_has_them_and_are_listed_as_it_is_told_them(
    letters: Letters, book: PromptBook
) -> None:
    assert letters.decode(book.fitted("A talk.", ("Ada", "Grace"), "en").tokens).endswith(". Ada, Grace A talk.")


@pytest.mark.parametrize(("prompt", "hotwords"), [(None, ()), ("  ", ()), ("", ("",))])
def test_nothing_stands_before_a_file_that_brings_nothing(
    book: PromptBook, prompt: str | None, hotwords: tuple[str, ...]
) -> None:
    assert book.fitted(prompt, hotwords, "en") is NO_PROMPT


@pytest.mark.parametrize(
    ("prompt", "hotwords", "named"),
    [
        (of_tokens(MAX_PROMPT_TOKENS + 1), (), "prompt: 224 tokens, at most 223"),
        (None, ("abc",) * MAX_HOTWORD_TOKENS, "hotwords: 191 tokens, at most 96"),
        (of_tokens(200), ("abc",) * 20, "prompt and hotwords together: 239 tokens, at most 223"),
    ],
    ids=["prompt", "hotwords", "together"],
)
def test_what_is_too_long_is_refused_by_name(
    book: PromptBook, prompt: str | None, hotwords: tuple[str, ...], named: str
) -> None:
    with pytest.raises(RejectJob, match=named) as caught:
        book.fitted(prompt, hotwords, "en")
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


@pytest.mark.parametrize(("prompt", "hotwords"), [(f"a {CONTROL}", ()), (None, (CONTROL,))])
def test_control_tokens_are_refused(book: PromptBook, prompt: str | None, hotwords: tuple[str, ...]) -> None:
    with pytest.raises(RejectJob, match="control tokens") as caught:
        book.fitted(prompt, hotwords, "en")
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_prose_is_in_the_language_of_the_file(letters: Letters, book: PromptBook) -> None:
    own = letters.encode("Umspannwerk")
    assert set(before(letters, book.fitted("Umspannwerk", (), "de"), own).split()) <= set(PROSE["de"].split())
    assert set(before(letters, book.fitted("Umspannwerk", (), None), own).split()) <= set(PROSE["en"].split())


def test_what_stands_before_is_known_as_an_echo(letters: Letters, book: PromptBook) -> None:
    fitted = book.fitted("A talk about the early printers.", ("Gutenberg", "Schoeffer"), "en")
    assert fitted.echoed("A talk about the early printers.")
    assert fitted.echoed("Gutenberg, Schoeffer")
    assert fitted.echoed(
        before(letters, fitted, letters.encode("Gutenberg, Schoeffer A talk about the early printers."))
    )
    assert not fitted.echoed("The first printers of Gutenberg's time lived in Mainz.")
