"""Which files count as short: by what their header says, until they turn out to be longer. Pure."""

from transcriber_worker.domain.audio import MediaInfo
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media import formats

SHORT_S = 120.0
"""Most audio to be heard in a short file, summed over channels that are kept apart."""
TINY_BYTES = 1024 * 1024
"""A file that does not tell its length (such as a browser's recording) counts as short up to this size."""


def is_short(info: MediaInfo, size_bytes: int, options: MediaOptions) -> bool:
    """Whether a file of `size_bytes` seems to be read in a moment. A header may be wrong: see `heard_s`."""
    clip, length_s = options.clip, info.duration_s
    if length_s is None and size_bytes <= TINY_BYTES:
        return True
    if clip is not None:
        length_s = clip.end_s if length_s is None else min(length_s, clip.end_s)
        if info.container in formats.SEEKABLE:
            length_s = max(0.0, length_s - clip.start_s)
    return length_s is not None and length_s * _channels(info, options) <= SHORT_S


def heard_s(position_s: float, info: MediaInfo, options: MediaOptions) -> float:
    """How much of a file has been heard that is read up to `position_s` of its own timeline."""
    return (position_s - (options.clip.start_s if options.clip else 0.0)) * _channels(info, options)


def _channels(info: MediaInfo, options: MediaOptions) -> int:
    return max(1, info.channels) if options.channels is Channels.SPLIT else 1
