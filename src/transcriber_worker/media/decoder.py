"""A media file as blocks of 16 kHz samples on its own timeline. Runs in the child only."""

from __future__ import annotations  # PyAV's Packet is generic only in its stubs

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.packet import Packet

from transcriber_worker.domain.audio import Pcm, Span
from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media import formats
from transcriber_worker.media.opening import OpenedMedia
from transcriber_worker.media.packets import ByteClock, DamageCount, demux
from transcriber_worker.media.placement import Placer
from transcriber_worker.media.timeline import Timeline, first_sample

MAX_GAPS_S = 3600.0
"""Silence put in for gaps, in all, where the file's header does not say how long it is."""
_MAX_GAPS_LISTED = 100
_PREROLL_S = 2.0
"""Decoded before a clip and dropped: codecs need some packets to settle."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What to take out of a file. `clip`: only this stretch; `speed`: tempo; `split`: keep the channels apart."""

    split: bool
    clip: Span | None
    speed: float
    max_duration_s: float


class Decoder:
    """Decodes packet by packet, so that a damaged one costs only itself, and places every frame by its timestamp."""

    def __init__(self, media: OpenedMedia, options: DecodeOptions) -> None:
        self._media = media
        self._options = options
        self._clip = options.clip or Span(0.0, math.inf)
        last_s = media.stated_s + 1.0 if media.stated_s is not None else None
        self._placer = Placer(last_s, MAX_GAPS_S if last_s is None else options.max_duration_s)
        self._bytes = ByteClock() if media.counted_timestamps else None
        self._damage = DamageCount()
        self._tick_s = float(media.stream.time_base or 0)
        self._timeline: Timeline | None = None
        self.start_sample = first_sample(self._clip, options.speed)
        """Where the first block begins, in samples at 16 kHz of the sped-up file."""
        self.decoded_s = 0.0
        self.gaps: list[Span] = []

    @property
    def damaged_packets(self) -> int:
        """Packets that gave nothing, and jumps of the clock that the audio can't have made."""
        return self._damage.packets + self._placer.broken_clock

    @property
    def end_s(self) -> float:
        """Where the decoded timeline ends, gaps counted."""
        return min(self._placer.end_s, self._clip.end_s)

    def blocks(self) -> Iterator[Pcm]:
        """int16, (channels, n), seamless from `start_sample` on, a few seconds at a time; none where nothing could be
        decoded. Raises `RejectJob` for more audio or channels than allowed."""
        clipped = self._clip.start_s > _PREROLL_S
        if clipped:
            self._seek(self._clip.start_s - _PREROLL_S)
        for packet in demux(self._media.container, self._media.stream, self._damage):
            if clipped and self._ends_s(packet) < self._clip.start_s - _PREROLL_S:
                continue
            for frame in self._decode(packet):
                yield from self._add(frame)
            if self._placer.end_s >= self._clip.end_s:
                break
        if self._timeline is not None:
            yield from self._timeline.finish()

    def _seek(self, target_s: float) -> None:
        container, stream = self._media.container, self._media.stream
        if self._media.info.container not in formats.SEEKABLE or not self._tick_s:
            return
        try:
            container.seek(int((target_s + self._media.origin_s) / self._tick_s), stream=stream)
        except av.error.FFmpegError:
            container.seek(0, stream=stream)

    def _ends_s(self, packet: Packet[Any]) -> float:
        if packet.pts is None or not packet.size:
            return math.inf
        return (packet.pts + (packet.duration or 0)) * self._tick_s - self._media.origin_s

    def _decode(self, packet: Packet[Any]) -> list[AudioFrame]:
        size = packet.size
        if self._bytes is not None and size:
            self._bytes.found(packet.pos, size)
        try:
            frames = self._media.stream.decode(packet)
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError, OverflowError):
            if size:
                self._damage.packets += 1
                if self._bytes is not None:
                    self._bytes.damaged(size, (packet.duration or 0) * self._tick_s)
            return []
        if self._bytes is not None and size:
            self._bytes.decoded(size, (packet.duration or 0) * self._tick_s)
        return frames

    def _add(self, frame: AudioFrame) -> Iterator[Pcm]:
        if not frame.samples or not frame.sample_rate:
            return
        timestamp_s = self._timestamp_s(frame)
        timeline = self._timeline
        if timeline is None:
            timeline = self._timeline = self._begin(frame)
            if self._clip.start_s > 0 and timestamp_s is not None:
                self._placer.begin_at(timestamp_s)
        before_s = self._placer.end_s
        placed = self._placer.place(timestamp_s, frame.samples / frame.sample_rate)
        end_s = self._placer.end_s
        if placed.gap_s and self.decoded_s and len(self.gaps) < _MAX_GAPS_LISTED:
            self.gaps.append(Span(before_s, placed.start_s))
        self.decoded_s += max(0.0, min(end_s, self._clip.end_s) - max(before_s, placed.start_s, self._clip.start_s))
        if end_s - self._clip.start_s > self._options.max_duration_s + 1.0:
            raise too_long(self._options.max_duration_s)
        yield from timeline.add(frame, placed.start_s, continues=placed.continues)

    def _begin(self, frame: AudioFrame) -> Timeline:
        if not self._options.split:
            return Timeline("mono", 1, self._clip, self._options.speed)
        channels = frame.layout.nb_channels
        if channels > formats.MAX_SPLIT_CHANNELS:
            raise RejectJob(
                Reason.MEDIA_LIMIT_EXCEEDED,
                f"The file has {channels} channels; up to {formats.MAX_SPLIT_CHANNELS} can be kept apart. "
                "Ask for their mix.",
            )
        return Timeline(frame.layout.name, channels, self._clip, self._options.speed)

    def _timestamp_s(self, frame: AudioFrame) -> float | None:
        time_s = frame.time
        if time_s is None:
            return None
        lost_s = self._bytes.lost_s if self._bytes is not None else 0.0
        return time_s - self._media.origin_s + lost_s


def too_long(max_duration_s: float) -> RejectJob:
    """The error for audio that lasts longer than allowed."""
    return RejectJob(
        Reason.MEDIA_TOO_LONG,
        f"The audio lasts longer than {max_duration_s:.0f} s (media.max_duration_s): split it, or ask for a clip.",
    )
