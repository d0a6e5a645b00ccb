"""Opens one media file from a descriptor that is open already, and nothing else. Runs in the child only."""

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import av
from av import logging as av_logging
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.stream import Discard

from transcriber_worker.domain.audio import MediaInfo
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media import formats

_READ_BYTES = 131_072
_HEAD_BYTES = 4096
_UNKNOWN_SIZE = 0x7FFFFF00
_PROTOCOLS = "none"
"""A name that no protocol has."""
_PROBE = {"probesize": "5000000", "analyzeduration": "10000000"}


@dataclass(frozen=True, slots=True)
class OpenedMedia:
    """A file ready to be demuxed; close it through `container`."""

    container: InputContainer
    stream: AudioStream
    info: MediaInfo
    origin_s: float
    """Timestamp that counts as 0 on the file's own timeline."""
    stated_s: float | None
    """Where the file's header says the audio ends, on the file's own timeline; None where it is unsaid or a guess."""

    @property
    def counted_timestamps(self) -> bool:
        return self.info.container in formats.COUNTED_TIMESTAMPS


class _NestedOpen(Exception):
    """A demuxer wanted to open another file."""


class _Anonymous:
    """The file without its name: a name can make FFmpeg pick another demuxer."""

    name = "media"

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def open_media(file: BinaryIO) -> OpenedMedia:
    """Read the header of `file` (binary, seekable).

    Raises `RejectJob` where it is no media (MEDIA_UNREADABLE), names other files (MEDIA_NOT_ALLOWED) or has no sound
    that can be decoded (MEDIA_NO_AUDIO, MEDIA_NOT_ALLOWED).
    """
    head = file.read(_HEAD_BYTES)
    if not head:
        raise RejectJob(Reason.MEDIA_UNREADABLE, "The file is empty: upload it again.")
    if formats.looks_like_playlist(head):
        raise _refused("it is a list of other files or addresses")
    counts_frames = _has_mp3_frame_count(file, head)
    file.seek(0)
    container = _open_container(file)
    stream = _choose_stream(container)
    name = _demuxer(container)
    origin_s = (container.start_time or 0) / av.time_base
    stated = name in formats.STATED_DURATION or (name == "mp3" and counts_frames)
    info = MediaInfo(
        container=name,
        codec=stream.codec_context.name,
        channels=stream.codec_context.layout.nb_channels,
        sample_rate_hz=stream.codec_context.sample_rate or 0,
        duration_s=container.duration / av.time_base if container.duration and container.duration > 0 else None,
    )
    stated_s = _stated_end_s(container, stream, origin_s) if stated else None
    if name == "wav":
        # FFmpeg corrects what the header says by what is there, and so hides that something is missing.
        stated_s = _wav_length_s(head) or stated_s
    return OpenedMedia(container, stream, info, origin_s, stated_s)


def _open_container(file: BinaryIO) -> InputContainer:
    options = {
        **_PROBE,
        "format_whitelist": ",".join(formats.DEMUXERS),
        "codec_whitelist": ",".join(sorted(formats.DECODERS)),
        "protocol_whitelist": _PROTOCOLS,
    }
    # What FFmpeg has to say about a file goes into the exceptions (a refused format is told only there), not to stderr.
    av_logging.set_level(av_logging.ERROR)
    try:
        return av.open(
            _Anonymous(file),
            mode="r",
            options=options,
            io_open=_refuse,
            buffer_size=_READ_BYTES,
            metadata_errors="ignore",
        )
    except _NestedOpen:
        raise _refused("it names another file to read") from None
    except MemoryError:
        raise
    except av.error.ArgumentError as error:
        if "not on whitelist" in str(error):
            raise _refused("its format is not one the worker reads") from None
        raise _unreadable(error) from None
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise _unreadable(error) from None


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:  # noqa: ARG001 - the callback's signature
    raise _NestedOpen


def _choose_stream(container: InputContainer) -> AudioStream:
    audio = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not audio:
        raise RejectJob(Reason.MEDIA_NO_AUDIO, "The file has no audio track that can be decoded.")
    best = container.streams.best("audio")
    stream = best if isinstance(best, AudioStream) and best in audio else audio[0]
    if stream.codec_context.name not in formats.DECODERS:
        raise _refused(f"its codec {stream.codec_context.name!r} is not one the worker reads")
    stream.codec_context.thread_count = 1
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def _demuxer(container: InputContainer) -> str:
    names = container.format.name.split(",")
    return names[0]


def _stated_end_s(container: InputContainer, stream: AudioStream, origin_s: float) -> float | None:
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        start = stream.start_time if stream.start_time is not None else 0
        return float((start + stream.duration) * stream.time_base) - (
            origin_s if stream.start_time is not None else 0.0
        )
    tagged = _parse_clock(stream.metadata.get("DURATION", ""))
    if tagged is not None:
        return tagged
    alone = len(container.streams) == 1
    return container.duration / av.time_base if alone and container.duration and container.duration > 0 else None


def _parse_clock(text: str) -> float | None:
    """Seconds of matroska's "00:01:02.500000000"."""
    parts = text.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _wav_length_s(head: bytes) -> float | None:
    """What a wav header says; None where it says nothing (recorders that can't go back write 0 or a huge number)."""
    at, byte_rate = 12, 0
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            return size / byte_rate if byte_rate and 0 < size < _UNKNOWN_SIZE else None
        if name == b"fmt " and at + 20 <= len(head):
            (byte_rate,) = struct.unpack_from("<I", head, at + 16)
        at += 8 + size + size % 2
    return None


def _has_mp3_frame_count(file: BinaryIO, head: bytes) -> bool:
    """Whether the first mp3 frame is a Xing, Info or VBRI header; without one a duration is only a guess."""
    if head.startswith(b"ID3") and len(head) >= 10:
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        file.seek(10 + size, io.SEEK_SET)
        head = file.read(_HEAD_BYTES)
    first = head[:1024]
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _refused(why: str) -> RejectJob:
    return RejectJob(
        Reason.MEDIA_NOT_ALLOWED,
        f"The file is refused: {why}. Submit the recording itself, as wav, flac, mp3, m4a, ogg or webm.",
    )


def _unreadable(error: Exception) -> RejectJob:
    detail = getattr(error, "strerror", None) or type(error).__name__
    return RejectJob(
        Reason.MEDIA_UNREADABLE,
        f"The file can't be read as audio ({detail}): check that it plays, and upload it again.",
    )
