"""Packets of one audio stream: what is damaged is stepped over, what it swallowed is worked out from bytes."""

from __future__ import annotations  # PyAV's Packet is generic only in its stubs

from collections.abc import Iterator
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.packet import Packet

_RATE_MEMORY_S = 20.0


def demux(container: InputContainer, stream: AudioStream, damage: DamageCount) -> Iterator[Packet[Any]]:
    """The stream's packets, an empty one last, which flushes the decoder. Where the demuxer can't go on, the file ends,
    damaged."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        # Among them "out of memory", for a packet whose size is a lie.
        damage.packets += 1
        yield Packet()
    except IndexError:
        # PyAV trips over streams that turned up on the way when it flushes the decoders at the end.
        yield Packet()


class DamageCount:
    """How many packets could not be read or decoded."""

    def __init__(self) -> None:
        self.packets = 0


class ByteClock:
    """Time lost in damage, for formats whose timestamps only count the packets that were found (mp3, adts, amr).

    Bytes that yielded no audio, divided by the byte rate of the audio around them, are the time they held: exact at a
    constant bit rate, near at a variable one.
    """

    def __init__(self) -> None:
        self.lost_s = 0.0
        """To be added to the demuxer's timestamps from here on."""
        self._bytes = 0.0
        self._seconds = 0.0
        self._next_pos: int | None = None

    def found(self, pos: int | None, size: int) -> None:
        """A packet of `size` bytes begins at byte `pos`; what lies between it and the last one was skipped."""
        if pos is None:
            return
        if self._next_pos is not None and pos > self._next_pos:
            self._lose(pos - self._next_pos, claimed_s=0.0)
        self._next_pos = pos + size

    def decoded(self, size: int, seconds: float) -> None:
        """A packet gave `seconds` of audio."""
        self._bytes += size
        self._seconds += seconds
        if self._seconds > _RATE_MEMORY_S:
            self._bytes /= 2
            self._seconds /= 2

    def damaged(self, size: int, claimed_s: float) -> None:
        """A packet gave nothing; the demuxer counted `claimed_s` for it."""
        self._lose(size, claimed_s)

    def _lose(self, size: int, claimed_s: float) -> None:
        if self._bytes > 0:
            self.lost_s += size * self._seconds / self._bytes - claimed_s
