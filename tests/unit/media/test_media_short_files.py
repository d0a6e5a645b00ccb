"""Which files count as short."""

import pytest

from transcriber_worker.domain.audio import MediaInfo, Span
from transcriber_worker.domain.job import Channels, MediaOptions
from transcriber_worker.media.short_files import SHORT_S, TINY_BYTES, heard_s, is_short

BIG = 10 * TINY_BYTES


def info(duration_s: float | None, *, container: str = "wav", channels: int = 1) -> MediaInfo:
    return MediaInfo(container, "codec", channels, 16_000, duration_s)


@pytest.mark.parametrize(
    ("told", "size_bytes", "options", "short"),
    [
        (info(SHORT_S), BIG, MediaOptions(), True),
        (info(SHORT_S + 1), TINY_BYTES, MediaOptions(), False),
        (info(None), TINY_BYTES, MediaOptions(), True),
        (info(None), TINY_BYTES + 1, MediaOptions(), False),
        (info(None), TINY_BYTES, MediaOptions(clip=Span(2.0, 3600.0)), True),
        (info(None), TINY_BYTES + 1, MediaOptions(clip=Span(2.0, 3600.0)), False),
        (info(SHORT_S, channels=2), BIG, MediaOptions(), True),
        (info(SHORT_S, channels=2), BIG, MediaOptions(channels=Channels.SPLIT), False),
        (info(SHORT_S / 2, channels=2), BIG, MediaOptions(channels=Channels.SPLIT), True),
        (info(3600.0), BIG, MediaOptions(clip=Span(1800.0, 1830.0)), True),
        (info(3600.0, container="mp3"), BIG, MediaOptions(clip=Span(1800.0, 1830.0)), False),
        (info(3600.0, container="mp3"), BIG, MediaOptions(clip=Span(10.0, 40.0)), True),
        (info(None), BIG, MediaOptions(clip=Span(0.0, 30.0)), True),
    ],
)
def test_short_is_what_has_little_to_be_decoded(
    told: MediaInfo, size_bytes: int, options: MediaOptions, short: bool
) -> None:
    """Of a clip, what lies before it counts too where the format can't be entered in the middle."""
    assert is_short(told, size_bytes, options) is short


def test_what_was_heard_counts_from_the_clip_on_and_for_every_channel() -> None:
    options = MediaOptions(clip=Span(1000.0, 1100.0), channels=Channels.SPLIT)
    assert heard_s(1030.0, info(None, channels=2), options) == 60.0
    assert heard_s(30.0, info(None, channels=2), MediaOptions()) == 30.0
