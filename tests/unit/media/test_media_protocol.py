"""What goes over the pipes, and what the parent refuses to believe."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media_files import a_media_job
from transcriber_worker.domain.audio import MediaInfo, MediaReport, Notice, Span, TranscriptWarning, Window
from transcriber_worker.domain.errors import Reason
from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.protocol import (
    MAX_HEADER_BYTES,
    PREFIX,
    Message,
    Progress,
    ProtocolError,
    Ready,
    Rejected,
    decode,
    decode_job,
    encode,
    encode_job,
    max_payload_bytes,
    parse_prefix,
)

MOST = max_payload_bytes(WindowLimits(29.5, 29.5))


def a_window(**changes: Any) -> Window:
    pcm = np.arange(16_000, dtype=np.int16)
    fields: dict[str, Any] = {
        "index": 0,
        "channel": 1,
        "core": Span(0.0, 2.0),
        "pcm_start_s": 0.5,
        "pcm": pcm,
        "speech": (Span(0.5, 0.75), Span(1.0, 1.5)),
        "speed": 1.0,
        "pauses": (Span(0.6, 0.75), Span(1.0, 1.1), Span(1.2, 1.35)),
    }
    return Window(**fields | changes)


def frame(message: Message) -> bytes:
    return b"".join(encode(message))


def read(data: bytes) -> Message:
    header, payload = parse_prefix(data[: PREFIX.size], MOST)
    rest = data[PREFIX.size :]
    assert len(rest) == header + payload
    return decode(rest[:header], rest[header:])


def test_a_window_comes_through_unchanged() -> None:
    sent = a_window()
    got = read(frame(sent))
    assert isinstance(got, Window)
    assert np.array_equal(got.pcm, sent.pcm)
    assert got.pcm.dtype == np.int16
    for field in ("index", "channel", "core", "pcm_start_s", "speech", "speed", "pauses"):
        assert getattr(got, field) == getattr(sent, field)


@pytest.mark.parametrize(
    "message",
    [
        Ready(("no_network",)),
        Progress(12.5),
        MediaInfo("mp3", "mp3float", 2, 44_100, None),
        Rejected(Reason.MEDIA_UNREADABLE, "why"),
        MediaReport(1.0, 2.0, 0.5, 3, (Span(0.5, 1.5),), (TranscriptWarning(Notice.DAMAGED, "y", None),), 0.1, 0.2),
    ],
)
def test_messages_come_through_unchanged(message: Message) -> None:
    assert read(frame(message)) == message


def test_a_job_comes_through_unchanged() -> None:
    job = a_media_job(split=True, clip=Span(1.0, 2.5), speed=1.5)
    assert decode_job(encode_job(job)) == job


@pytest.mark.parametrize(
    "prefix",
    [
        b"HTTP" + struct.pack("<II", 10, 0),
        PREFIX.pack(b"TWM1", 0, 0),
        PREFIX.pack(b"TWM1", MAX_HEADER_BYTES + 1, 0),
        PREFIX.pack(b"TWM1", 10, MOST + 2),
        PREFIX.pack(b"TWM1", 10, 3),
        PREFIX.pack(b"TWM1", 0xFFFFFFFF, 0xFFFFFFFF),
    ],
)
def test_lengths_beyond_the_bounds_are_refused_before_anything_is_allocated(prefix: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_prefix(prefix, MOST)


def header_of(message: Message, /, **changes: object) -> bytes:
    value = json.loads(bytes(encode(message)[1]))
    return json.dumps(value | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"index": -1},
        {"index": 1.5},
        {"index": True},
        {"channel": "left"},
        {"core": [2.0, 1.0]},
        {"core": [0.0, float("inf")]},
        {"core": [0.0]},
        {"pcm_start_s": float("nan")},
        {"pcm_start_s": 1e300},
        {"pcm_start_s": 10**400},
        {"speech": []},
        {"speech": [[0.0, 0.2]]},
        {"speech": [[0.6, 0.8], [0.5, 0.55]]},
        {"speech": [[0.6, 99.0]]},
        {"speech": {"a": 1}},
        {"speed": 0},
        {"speed": None},
        {"pauses": None},
        {"pauses": [[0.6, 0.8]]},
        {"pauses": [[0.4, 0.6]]},
        {"pauses": [[0.8, 0.95]]},
        {"pauses": [[0.6, 0.65]]},
        {"pauses": [[0.6, 0.6]] * 100_000},
        {"pauses": [[1.2, 1.35], [1.0, 1.1]]},
        {"pauses": [[1.0, 1.2], [1.1, 1.3]]},
        {"pauses": [[1.6, 1.8]]},
        {"kind": "pickle"},
        {"kind": ["window"]},
    ],
)
def test_a_window_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        decode(header_of(a_window(), **changes), a_window().pcm.tobytes())


@pytest.mark.parametrize("position_s", [float("nan"), float("inf"), -0.1, 1e9, 1e300, 10**400, True, "1", None])
def test_a_time_that_cannot_be_is_refused(position_s: object) -> None:
    with pytest.raises(ProtocolError):
        decode(header_of(Progress(1.0), position_s=position_s), b"")


def test_a_payload_where_none_belongs_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(header_of(Progress(1.0)), b"\0\0")


def test_text_from_the_child_is_cut_and_stripped_of_control_characters() -> None:
    got = decode(header_of(Rejected(Reason.MEDIA_UNREADABLE, "x"), message="a\x1b[2Jb\n" + "c" * 100_000), b"")
    assert isinstance(got, Rejected)
    assert got.message.startswith("a[2Jb")
    assert len(got.message) <= 2000


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_any_bytes_are_a_message_or_a_protocol_error(header: bytes, payload: bytes) -> None:
    try:
        decode(header, payload)
    except ProtocolError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([a_window(), Progress(1.0), MediaInfo("a", "b", 1, 1, 1.0), Ready(()), MediaReport(1.0, 1.0, 1.0)]),
    st.data(),
)
def test_any_value_in_any_place_is_a_message_or_a_protocol_error(message: Message, data: st.DataObject) -> None:
    value = json.loads(bytes(encode(message)[1]))
    key = data.draw(st.sampled_from(sorted(value)))
    value[key] = data.draw(json_values)
    payload = bytes(encode(message)[2])
    try:
        decode(json.dumps(value).encode(), payload)
    except ProtocolError:
        return
