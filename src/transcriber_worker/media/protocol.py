"""What parent and child say to each other over pipes: JSON lines in, frames out. Nothing is ever unpickled.

A frame is 12 bytes (b"TWM1", length of the header, length of the payload; little-endian), a JSON header, and a payload
of int16 samples. The child is not trusted: the parent checks every length before it allocates and every value before
it believes it.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transcriber_worker.domain.audio import (
    SAMPLE_RATE_HZ,
    MediaInfo,
    MediaReport,
    Notice,
    Span,
    TranscriptWarning,
    Window,
)
from transcriber_worker.domain.errors import Reason
from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.speech_spans import SpeechThresholds

MAGIC = b"TWM1"
PREFIX = struct.Struct("<4sII")
MAX_HEADER_BYTES = 2 * 1024 * 1024
CREDIT_LINE = b'{"credit": 1}\n'
_MAX_TEXT = 2000
MIN_PAUSE_S = 0.1
"""Pauses of a window last at least this long, before it was sped up."""
_SLACK_S = 1e-3


class ProtocolError(Exception):
    """The other side said something that it can't mean."""


@dataclass(frozen=True, slots=True)
class MediaJob:
    """What a child is to do: one file."""

    path: str
    split: bool
    clip: Span | None
    speed: float
    limits: WindowLimits
    max_duration_s: float
    thresholds: SpeechThresholds


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has its imports done and its limits set; `protections`: those of the optional ones that hold."""

    protections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """So far without a window."""

    position_s: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """The file is to blame."""

    reason: Reason
    message: str


Message = Ready | MediaInfo | Window | Progress | MediaReport | Rejected


def encode_job(job: MediaJob) -> bytes:
    """One JSON line."""
    return json.dumps(asdict(job), allow_nan=False).encode() + b"\n"


def decode_job(line: bytes) -> MediaJob:
    """The job of a line that `encode_job` made."""
    value = json.loads(line)
    clip = value.pop("clip")
    thresholds = SpeechThresholds(**value.pop("thresholds"))
    limits = WindowLimits(**value.pop("limits"))
    return MediaJob(clip=Span(**clip) if clip else None, thresholds=thresholds, limits=limits, **value)


def encode(message: Message) -> list[bytes | memoryview]:
    """A frame, in pieces to be written one after the other."""
    payload = memoryview(b"")
    match message:
        case Window():
            header: dict[str, Any] = {"kind": "window", **_window_header(message)}
            payload = memoryview(message.pcm.astype("<i2", copy=False).tobytes())
        case Ready():
            header = {"kind": "ready", "protections": list(message.protections)}
        case MediaInfo():
            header = {"kind": "info", **asdict(message)}
        case Progress():
            header = {"kind": "progress", "position_s": message.position_s}
        case MediaReport():
            header = {"kind": "report", **asdict(message)}
        case Rejected():
            header = {"kind": "rejected", "reason": message.reason.value, "message": message.message[:_MAX_TEXT]}
    head = json.dumps(header, allow_nan=False).encode()
    return [PREFIX.pack(MAGIC, len(head), len(payload)), head, payload]


def _window_header(window: Window) -> dict[str, Any]:
    return {
        "index": window.index,
        "channel": window.channel,
        "core": [window.core.start_s, window.core.end_s],
        "pcm_start_s": window.pcm_start_s,
        "speech": [[span.start_s, span.end_s] for span in window.speech],
        "speed": window.speed,
        "pauses": [[span.start_s, span.end_s] for span in window.pauses],
    }


def parse_prefix(prefix: bytes, max_payload_bytes: int) -> tuple[int, int]:
    """Lengths of header and payload; raises ProtocolError beyond the bounds."""
    magic, header_bytes, payload_bytes = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError("a frame does not begin like one")
    if not 2 <= header_bytes <= MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {header_bytes} bytes")
    if payload_bytes > max_payload_bytes or payload_bytes % 2:
        raise ProtocolError(f"a payload of {payload_bytes} bytes")
    return header_bytes, payload_bytes


def decode(header: bytes, payload: bytes | bytearray) -> Message:
    """The message of a frame; raises ProtocolError where a value is missing, of another type or out of range."""
    try:
        value = json.loads(header)
        kind = value.pop("kind")
        if kind == "window":
            return _window(value, payload)
        if payload:
            raise ProtocolError(f"{kind} with a payload")
        return _DECODERS[kind](value)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a frame that can't be read ({type(error).__name__})") from error


def _window(value: dict[str, Any], payload: bytes | bytearray) -> Window:
    window = Window(
        index=_integer(value["index"]),
        channel=None if value["channel"] is None else _integer(value["channel"]),
        core=_span(value["core"]),
        pcm_start_s=_seconds(value["pcm_start_s"]),
        pcm=np.frombuffer(payload, dtype="<i2").astype(np.int16, copy=False),
        speech=tuple(_span(pair) for pair in value["speech"]),
        speed=_seconds(value["speed"]),
        pauses=tuple(_span(pair) for pair in value["pauses"]),
    )
    _check_window(window)
    _check_pauses(window)
    return window


def _check_window(window: Window) -> None:
    if window.speed <= 0 or not window.speech or not len(window.pcm):
        raise ProtocolError("a window without speech")
    at_s = window.pcm_start_s - _SLACK_S
    for span in window.speech:
        if span.start_s < at_s:
            raise ProtocolError("speech out of order")
        at_s = span.end_s - _SLACK_S
    if at_s > window.pcm_start_s + window.duration_s:
        raise ProtocolError("speech beyond the samples")


def _check_pauses(window: Window) -> None:
    """Each lies within a stretch of speech and lasts long enough that there can't be very many."""
    stretches = iter(window.speech)
    speech = next(stretches)
    at_s = speech.start_s
    for pause in window.pauses:
        while pause.start_s >= speech.end_s:
            following = next(stretches, None)
            if following is None:
                raise ProtocolError("a pause after the speech")
            speech, at_s = following, following.start_s
        if pause.start_s < at_s - _SLACK_S or pause.end_s > speech.end_s + _SLACK_S:
            raise ProtocolError("a pause outside of speech")
        if pause.duration_s < MIN_PAUSE_S * window.speed:
            raise ProtocolError("a pause too short to be one")
        at_s = pause.end_s


def _info(value: dict[str, Any]) -> MediaInfo:
    duration_s = value["duration_s"]
    return MediaInfo(
        container=_text(value["container"]),
        codec=_text(value["codec"]),
        channels=_integer(value["channels"]),
        sample_rate_hz=_integer(value["sample_rate_hz"]),
        duration_s=None if duration_s is None else _seconds(duration_s),
    )


def _report(value: dict[str, Any]) -> MediaReport:
    return MediaReport(
        decoded_s=_seconds(value["decoded_s"]),
        end_s=_seconds(value["end_s"]),
        speech_s=_seconds(value["speech_s"]),
        damaged_packets=_integer(value["damaged_packets"]),
        gaps=tuple(_named_span(gap) for gap in value["gaps"]),
        warnings=tuple(
            TranscriptWarning(
                Notice(warning["code"]),
                _text(warning["message"]),
                None if warning["span"] is None else _named_span(warning["span"]),
            )
            for warning in value["warnings"]
        ),
        decode_cpu_s=_seconds(value["decode_cpu_s"]),
        detect_cpu_s=_seconds(value["detect_cpu_s"]),
    )


def _named_span(value: dict[str, Any]) -> Span:
    return _span([value["start_s"], value["end_s"]])


def _span(pair: list[Any]) -> Span:
    start_s, end_s = (_seconds(bound) for bound in pair)
    if end_s < start_s:
        raise ProtocolError("a span that ends before it starts")
    return Span(start_s, end_s)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ProtocolError("a time out of range")
    return float(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
        raise ProtocolError("a number out of range")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ProtocolError("no text where text belongs")
    return "".join(character for character in value[:_MAX_TEXT] if character.isprintable())


_DECODERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "ready": lambda value: Ready(tuple(_text(name) for name in value["protections"])),
    "info": _info,
    "progress": lambda value: Progress(_seconds(value["position_s"])),
    "report": _report,
    "rejected": lambda value: Rejected(Reason(value["reason"]), _text(value["message"])),
}


def max_payload_bytes(limits: WindowLimits) -> int:
    """The largest payload that a window may have."""
    return 2 * (round(limits.span_s * SAMPLE_RATE_HZ) + 1)
