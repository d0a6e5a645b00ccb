"""Frames of any rate, format and layout in, 16 kHz int16 out, sped up where asked."""

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.filter.graph import Graph

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm

GROUP_SAMPLES = 131_072
"""Frames are collected to about this many samples before they go through the filters: a call per frame of some 20 ms
would cost more than the work."""


class Resampler:
    """One seamless run of frames of one kind."""

    def __init__(self, first: AudioFrame, layout: str, speed: float) -> None:
        """`layout`: what comes out, "mono" to mix; `speed`: pitch-preserving tempo."""
        self._kind = _kind(first)
        self._channels = AudioLayout(layout).nb_channels
        self._fifo = av.AudioFifo()
        try:
            self._graph = _filters(first, f"aformat=channel_layouts={layout}", speed)
        except av.error.ArgumentError:
            # FFmpeg knows how to mix the usual layouts; of any other, take the mean.
            self._graph = _filters(first, _mean(first.layout.nb_channels), speed)

    def takes(self, frame: AudioFrame) -> bool:
        """Whether `frame` is of the kind this run began with."""
        return _kind(frame) == self._kind

    def push(self, frame: AudioFrame) -> Pcm | None:
        """Samples that became ready, int16, (channels, n), or None."""
        frame.pts = None  # placed already; the buffer would refuse jitter
        self._fifo.write(frame)
        return self._filter(self._fifo.read()) if self._fifo.samples >= GROUP_SAMPLES else None

    def finish(self) -> Pcm:
        """What is left, int16, (channels, n); the run is over."""
        rest = self._fifo.read() if self._fifo.samples else None
        parts = [] if rest is None else [self._filter(rest)]
        parts.append(self._filter(None))
        return np.concatenate(parts, axis=1)

    def _filter(self, frame: AudioFrame | None) -> Pcm:
        self._graph.push(frame)
        parts: list[Pcm] = []
        while True:
            try:
                out = self._graph.pull()
            except (av.error.EOFError, av.error.BlockingIOError):
                break
            parts.append(np.asarray(out.to_ndarray(), dtype=np.int16).reshape(-1, self._channels))
        joined = np.concatenate(parts) if parts else np.empty((0, self._channels), np.int16)
        return np.ascontiguousarray(joined.T)


def _filters(first: AudioFrame, mixer: str, speed: float) -> Graph:
    graph = Graph()
    graph.threads = 1  # before any filter; a thread per core would not fit the address-space limit
    last = graph.add(
        "abuffer",
        time_base=f"1/{first.sample_rate}",
        sample_rate=str(first.sample_rate),
        sample_fmt=first.format.name,
        channel_layout=first.layout.name,
    )
    steps = [mixer, f"aformat=sample_rates={SAMPLE_RATE_HZ}:sample_fmts=s16"]
    if speed != 1.0:
        steps.append(f"atempo={speed}")
    for step in (*steps, "abuffersink="):
        name, arguments = step.split("=", 1)
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    return graph


def _mean(channels: int) -> str:
    return "pan=mono|c0=" + "+".join(f"{1 / channels:.6f}*c{i}" for i in range(channels))


def _kind(frame: AudioFrame) -> tuple[int, str, int]:
    # Names of layouts are dear to compute, and the queue of frames relies only on the number of channels.
    return frame.sample_rate, frame.format.name, frame.layout.nb_channels
