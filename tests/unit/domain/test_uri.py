"""One spelling for one object, and nothing that leaves its prefix."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber_worker.domain.uri import InvalidUri, ObjectUri, redacted

PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1).filter(
    lambda part: part not in (".", "..")
)
KEYS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


@given(KEYS)
def test_a_file_is_told_and_read_again(key: str) -> None:
    uri = ObjectUri.from_path(Path("/" + key))

    assert ObjectUri.parse(str(uri)) == uri
    assert str(uri).isascii()
    assert uri.path == Path("/" + key)


@given(KEYS)
def test_an_object_is_told_and_read_again(key: str) -> None:
    uri = ObjectUri.parse("oci://bucket@namespace/").child(key)

    assert ObjectUri.parse(str(uri)) == uri


def test_a_signature_that_ends_in_a_slash_makes_no_folder() -> None:
    assert not ObjectUri.parse("https://host/call.mp3?signature=abc/").is_prefix
    assert ObjectUri.parse("https://host/calls/?signature=abc").is_prefix


@given(KEYS, KEYS)
def test_a_child_lies_below_its_prefix(above: str, name: str) -> None:
    prefix = ObjectUri.parse("oci://bucket@namespace/").child(above + "/")
    child = prefix.child(name)

    assert prefix.is_prefix
    assert prefix.contains(child)
    assert prefix.relative(child) == name
    assert not child.contains(prefix)


@pytest.mark.parametrize(
    "text",
    [
        "oci://bucket@namespace/path/call 1#?.mp3",
        "oci://bucket@namespace/a//b",
        "https://host/path/call.mp3?token=a%2Fb",
        "https://host:8443/call.mp3",
        "https://[::1]:8443/call.mp3",
        "file:///data/call%201%23.mp3",
    ],
)
def test_a_uri_stays_as_it_was_written(text: str) -> None:
    assert str(ObjectUri.parse(text)) == text


@pytest.mark.parametrize("text", ["file:///data//calls///1.mp3", "file:////data/calls/1.mp3"])
def test_one_file_has_one_spelling(text: str) -> None:
    assert str(ObjectUri.parse(text)) == "file:///data/calls/1.mp3"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("call.mp3", "unknown scheme"),
        ("ftp://host/call.mp3", "unknown scheme"),
        ("http://host/call.mp3", "unknown scheme"),
        ("FILE:///call.mp3", "unknown scheme"),
        ("file://host/call.mp3", "no host"),
        ("file:///data/../etc/passwd", "segments"),
        ("file:///data/%2e%2e/etc/passwd", "segments"),
        ("file:///data/./call.mp3", "segments"),
        ("file:///data/a%0Ab", "control characters"),
        ("file:///data/a%00b", "control characters"),
        ("oci://bucket/call.mp3", "oci://bucket@namespace/name"),
        ("oci://@namespace/call.mp3", "oci://bucket@namespace/name"),
        ("oci://bucket@namespace/a/../b", "segments"),
        ("oci://bucket@namespace/a\nb", "control characters"),
        ("https:///call.mp3", "no host"),
        ("https://user:word@host/call.mp3", "password"),
        ("https://user@host/call.mp3", "password"),
        ("https://host:port/call.mp3", "can't be read"),
        ("https://host/a/%2E%2e/b", "segments"),
        ("https://host/a%0d%0ab", "control characters"),
    ],
)
def test_what_is_no_object_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidUri, match=why):
        ObjectUri.parse(text)


@pytest.mark.parametrize("name", ["../other", "a/../../b", "a/./b", "a\nb", "a\udce9b"])
def test_a_child_never_leaves_its_prefix(name: str) -> None:
    with pytest.raises(InvalidUri):
        ObjectUri.parse("oci://bucket@namespace/calls/").child(name)


@pytest.mark.parametrize(
    ("prefix", "other", "contained"),
    [
        ("oci://b@n/calls/", "oci://b@n/calls/1.mp3", True),
        ("oci://b@n/calls/", "oci://b@n/calls-of-others/1.mp3", False),
        ("oci://b@n/calls", "oci://b@n/calls/1.mp3", False),
        ("oci://b@n/calls", "oci://b@n/calls", True),
        ("oci://b@n/", "oci://b@n/1.mp3", True),
        ("oci://b@n/", "oci://b@other/1.mp3", False),
        ("oci://b@n/", "oci://c@n/1.mp3", False),
        ("file:///", "file:///data/1.mp3", True),
        ("https://host/", "file:///1.mp3", False),
        ("https://host/", "https://host:8443/1.mp3", False),
    ],
)
def test_what_lies_below_a_prefix(prefix: str, other: str, contained: bool) -> None:
    assert ObjectUri.parse(prefix).contains(ObjectUri.parse(other)) is contained


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("oci://b@n/calls/1 ?.mp3", "1 ?.mp3"),
        ("https://host/calls/1.mp3?token=a/b", "1.mp3"),
        ("file:///data/%C3%BC.wav", "ü.wav"),
        ("file:///data/calls/", "calls"),
    ],
)
def test_the_last_part_of_the_name(text: str, name: str) -> None:
    assert ObjectUri.parse(text).basename == name


def test_a_directory_s_prefix_ends_in_a_slash(tmp_path: Path) -> None:
    assert str(ObjectUri.from_path(tmp_path, prefix=True)) == f"file://{tmp_path}/"
    assert ObjectUri.from_path(Path("/"), prefix=True) == ObjectUri.parse("file:///")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://host/n/token/call.mp3?sig=canary", "https://host/…"),
        ("https://user:canary@host:99/x", "https://host/…"),
        ("HTTPS://host/canary", "https://host/…"),
        ("ftp://user:canary@host/x", "ftp://host/…"),
        ("oci://bucket@namespace/call.mp3", "oci://bucket@namespace/call.mp3"),
        ("file:///data/call.mp3", "file:///data/call.mp3"),
        ("x" * 2000, "x" * 1024 + "…"),
    ],
)
def test_what_logs_and_events_tell_of_it(text: str, told: str) -> None:
    assert redacted(text) == told


def test_a_refused_scheme_is_told_without_its_secrets() -> None:
    with pytest.raises(InvalidUri) as refused:
        ObjectUri.parse("ftp://user:canary@host/canary")

    assert "canary" not in str(refused.value)
