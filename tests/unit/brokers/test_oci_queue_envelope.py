"""What text a queue carries for which message, and what a queue's text says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.brokers.oci_queue_envelope import Opened, Origin, opened, sealed

ORIGIN = Origin("abc123/36028797018963969", 1_750_000_000.25)


@pytest.mark.parametrize(
    "text", ['{"source": "oci://b@n/call.mp3"}', "Grüße", " ", "a\tb\r\n", "[" * 9000, "null", "\u2028"]
)
def test_plain_text_travels_as_it_is(text: str) -> None:
    """So that a person who looks into the queue, and any other publisher or consumer, sees what was meant."""
    assert sealed(text.encode(), {}) == text
    assert opened(text) == Opened(text.encode())


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
    st.none() | st.just(ORIGIN),
)
def test_any_message_survives(body: bytes, headers: dict[str, str], origin: Origin | None) -> None:
    content = sealed(body, headers, origin)

    assert opened(content) == Opened(body, headers, origin)
    assert content
    assert not any(ord(char) < 32 and char not in "\t\r\n" for char in content)
    assert json.loads(json.dumps(content)) == content


def test_a_body_that_looks_like_an_envelope_is_not_opened_as_one() -> None:
    body = sealed(b"\xff", {"a": "b"}).encode()

    assert opened(sealed(body, {})) == Opened(body)


def test_text_in_an_envelope_stays_text() -> None:
    """Base64 makes it a third longer, and the queue has a limit."""
    assert '"text":"body"' in sealed(b"body", {"traceparent": "00-1-2-01"})


MARK = sealed(b"", {}).partition(",")[0] + ","


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "}",
        '"text":"a"}',
        '"headers":[],"text":"a"}',
        '"headers":{"a":"\\ud800"},"text":"a"}',
        '"headers":{"\\ud800":"a"},"text":"a"}',
        '"headers":{}}',
        '"headers":{},"text":5}',
        '"headers":{},"base64":"%"}',
        '"headers":{},"text":"a","id":"abc/1"}',
        '"headers":{},"text":"a","id":"../1","published_at":1}',
        '"headers":{},"text":"a","id":7,"published_at":1}',
        '"headers":{},"text":"a","id":"abc/1","published_at":NaN}',
        '"headers":{},"text":"a","id":"abc/1","published_at":1' + "0" * 400 + "}",
        '"headers":{},"text":"a","id":"abc/1","published_at":{}}',
        '"headers":' + "[" * 20_000,
    ],
)
def test_what_only_looks_like_an_envelope_is_a_plain_body(rest: str) -> None:
    """Anybody may publish anything: whoever reads the body will say what is wrong with it."""
    assert opened(MARK + rest) == Opened((MARK + rest).encode())


def test_half_a_surrogate_pair_is_no_reason_to_fall_over() -> None:
    """JSON can say it, UTF-8 can't."""
    assert opened("a\ud800") == Opened(b"a\xed\xa0\x80")
    assert opened(MARK + '"headers":{},"text":"\\ud800"}').body == b"\xed\xa0\x80"
