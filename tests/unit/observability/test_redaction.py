"""A canary in every place a secret may hide, looked for in what comes out."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.observability.redaction import MASK, MAX_CHARS, Redactor

CANARY = "cAnArY-0123456789abcdef"
TOKEN = "Zx9" + "abcDEF123_-" * 4


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.register_secret(CANARY)
    return redactor


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://objectstorage.eu.example.com/p/{TOKEN}/n/ns/b/audio/o/call.mp3 failed",
        f"'https://user:{TOKEN}@host.example/'",
        f"https://host.example?sig={TOKEN}",
        f"https://host.example#{TOKEN}",
        f"HTTPS://HOST.EXAMPLE/{TOKEN}",
        f"http://127.0.0.1/{TOKEN}",
        rf"https:\/\/host.example\/{TOKEN}",
        f"redirect=https%3A%2F%2Fhost.example%2F{TOKEN}",
        f"/p/{TOKEN}/n/ns/b/audio/o/call.mp3 not found",
        f"Authorization: Bearer {TOKEN}",
        f"{{'authorization': 'Basic {TOKEN}'}}",
        f'Authorization: Signature version="1",keyId="ocid1/x",signature="{TOKEN}"',
        f"bearer {TOKEN}",
        f"password={TOKEN}",
        f'"client_secret": "two words {TOKEN}"',
        f"sasl.password='{TOKEN}'",
        f"api-key: {TOKEN}",
        f"eyJhbGciOiJSUzI1NiJ9.{TOKEN}.{TOKEN}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{TOKEN}\n{TOKEN}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{TOKEN}",
    ],
)
def test_what_looks_like_a_secret_is_masked(redactor: Redactor, text: str) -> None:
    assert TOKEN not in redactor.text(text)


def test_a_url_keeps_its_host_and_says_that_something_is_missing(redactor: Redactor) -> None:
    shown = redactor.text(f"GET https://user:pw@host.example:8443/p/{TOKEN}?x=1 gave 404")

    assert shown == "GET https://host.example:8443/… gave 404"


@pytest.mark.parametrize(
    "text",
    [
        "file:///data/calls/a%20b.mp3",
        "oci://bucket@namespace/path/call.mp3",
        "the prompt has 300 tokens: 224 fit",
        "lease of job 0123456789abcdef0123456789abcdef lost",
        "https://host.example",
        "três ficheiros, 2 erros — “ok”",
        "line one\n\tline two",
    ],
)
def test_plain_words_stay_as_they_are(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


@pytest.mark.parametrize(
    "hide",
    [
        lambda secret: secret,
        lambda secret: {"a": [{"b": (1, f"x{secret}y")}]},
        lambda secret: {secret: 1},
        lambda secret: {"a": {secret}},
        lambda secret: ValueError(f"bad {secret}"),
        lambda secret: secret.encode(),
        lambda secret: {"a": ValueError({"b": secret})},
        lambda secret: [[[[[[[[[[[[secret]]]]]]]]]]]],
    ],
)
def test_a_registered_secret_is_masked_at_every_depth(redactor: Redactor, hide: Callable[[str], object]) -> None:
    shown = str(redactor.clean(hide(CANARY)))

    assert CANARY not in shown
    assert MASK in shown


@given(
    st.recursive(
        st.sampled_from([CANARY, f"before {CANARY} after", "plain"]) | st.none() | st.integers() | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(CANARY), inner),
        max_leaves=12,
    )
)
def test_no_shape_of_values_lets_a_registered_secret_through(value: object) -> None:
    redactor = Redactor()
    redactor.register_secret(CANARY)

    assert CANARY not in str(redactor.clean(value))


def test_a_secret_is_masked_in_the_forms_it_travels_in(redactor: Redactor) -> None:
    redactor.register_secret('pa"ss/wo rd\\x')

    for form in ('pa"ss/wo rd\\x', "pa%22ss%2Fwo%20rd%5Cx", repr('pa"ss/wo rd\\x')):
        assert "ss/wo" not in redactor.text(form)
        assert "wo%20rd" not in redactor.text(form)


def test_each_line_of_a_secret_is_masked_alone(redactor: Redactor) -> None:
    redactor.register_secret(f"first-line-{TOKEN}\nsecond-line-{TOKEN}\n")

    assert TOKEN not in redactor.text(f"in line 2: second-line-{TOKEN}")


def test_a_secret_that_contains_another_leaves_nothing_behind(redactor: Redactor) -> None:
    redactor.register_secret("abcdef")
    redactor.register_secret("abcdefghijkl")

    assert redactor.text("x abcdefghijkl y") == f"x {MASK} y"


@pytest.mark.parametrize("value", ["", "   ", "abc", " abc\n"])
def test_a_secret_too_short_to_mask_is_refused(redactor: Redactor, value: str) -> None:
    with pytest.raises(ValueError, match="fewer than 4"):
        redactor.register_secret(value)


@pytest.mark.parametrize(
    "key", ["password", "api_key", "X-Api-Key", "sasl.password", "Authorization", "authorization", "cookie", "token"]
)
def test_what_a_telling_key_holds_is_masked_whatever_it_looks_like(redactor: Redactor, key: str) -> None:
    assert redactor.fields({key: ["plain"]}) == {key: MASK}


@pytest.mark.parametrize("key", ["attributes", "tenant", "text", "prompt", "hotwords", "segments"])
def test_what_a_publisher_gave_and_a_speaker_said_is_masked(redactor: Redactor, key: str) -> None:
    assert redactor.fields({key: {"tenant": "acme"}}) == {key: MASK}


def test_counts_of_tokens_are_no_secrets(redactor: Redactor) -> None:
    assert redactor.fields({"tokens": 312, "word_count": 7}) == {"tokens": 312, "word_count": 7}


def test_numbers_become_plain_json_numbers(redactor: Redactor) -> None:
    values = [np.float32(0.5), np.int64(3), 1 / 3, True, None, float("nan"), float("inf")]

    assert redactor.clean(values) == [0.5, 3, 0.3333, True, None, "nan", "inf"]


def test_control_characters_that_a_terminal_obeys_are_shown_instead(redactor: Redactor) -> None:
    assert redactor.text("a\x1b[2Jb\x00c\x9bd") == "a\\x1b[2Jb\\x00c\\x9bd"


def test_a_long_text_keeps_its_head_and_its_end(redactor: Redactor) -> None:
    shown = redactor.text("head" + "x" * 1_000_000 + "tail")

    assert shown.startswith("head")
    assert shown.endswith("tail")
    assert len(shown) < MAX_CHARS + 100


def test_a_secret_in_a_long_text_is_masked_before_it_is_cut(redactor: Redactor) -> None:
    """Cut first, half of a secret could stay; whatever its place, no recognisable part of it does."""
    for offset in range(MAX_CHARS // 4 - 40, MAX_CHARS // 4 + 40):
        assert "0123456789" not in redactor.text("x" * offset + CANARY + "y" * 20_000)


def test_a_value_that_cannot_be_shown_does_not_break_the_line(redactor: Redactor) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    assert redactor.clean(Broken()) == "<unprintable Broken>"
