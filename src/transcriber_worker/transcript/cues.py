"""Subtitle cues: what is on the screen when. Times are whole milliseconds, as the formats write them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from transcriber_worker.settings import TranscriptSettings
from transcriber_worker.transcript.document import SegmentEntry, TranscriptDocument
from transcriber_worker.transcript.layout import Atom, LineFiller, atoms, lines, partition

MIN_CUE_MS = 1000
"""A cue stays at least this long where there is room."""
_FLICKER_MS = 200
"""A shorter gap between two cues is closed."""
_SPLITTING_PAUSE_S = 2.0
"""Words further apart never share a cue: the later ones would be read long before they are said."""
_PAUSE_S = 0.3
_CUE_COST = 100.0
_PAUSE_BREAK_COST = 10.0
_UNFILLED_COST = 60.0


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines of text, none of them empty, shown from `start_ms` up to `end_ms`, which is later."""

    start_ms: int
    end_ms: int
    channel: int | None
    lines: tuple[str, ...]


def cues(
    document: TranscriptDocument, settings: TranscriptSettings, label: Callable[[int | None], str] | None = None
) -> list[Cue]:
    """The document's cues in order of time; those of one channel never overlap. Lines leave room for what `label` puts
    before a channel's text."""
    audio_end_ms = _ms(document.duration.audio_s)
    result: list[Cue] = []
    for channel in {segment.channel for segment in document.segments}:
        width = settings.max_line_chars - (len(label(channel)) if label else 0)
        segments = [segment for segment in document.segments if segment.channel == channel]
        untils_s = [segment.start for segment in segments[1:]] + [math.inf]
        own = [
            cue
            for segment, until_s in zip(segments, untils_s, strict=True)
            for cue in _segment_cues(segment, until_s, settings, width)
        ]
        result += _spread(own, _ms(settings.max_cue_s), audio_end_ms)
    return sorted(result, key=lambda cue: (cue.start_ms, -1 if cue.channel is None else cue.channel))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _segment_cues(segment: SegmentEntry, until_s: float, settings: TranscriptSettings, width: int) -> Iterator[Cue]:
    found = atoms(segment, until_s, settings.max_cue_s)
    capacity = width * settings.max_lines

    def pieces(begin: int) -> Iterator[tuple[int, float]]:
        filler = LineFiller(width)
        filled = 0
        for end in range(begin + 1, len(found) + 1):
            last = found[end - 1]
            filler.add(last)
            filled += last.width + last.spaced
            if end > begin + 1 and not (
                filler.lines <= settings.max_lines
                and last.end_s - found[begin].start_s <= settings.max_cue_s
                and last.start_s - found[end - 2].end_s < _SPLITTING_PAUSE_S
            ):
                return
            unfilled = max(1 - filled / capacity, 0.0)
            yield end, _CUE_COST + _UNFILLED_COST * unfilled**2 + _break_cost(found, end)

    for begin, end in partition(len(found), pieces):
        cue = found[begin:end]
        yield Cue(_ms(cue[0].start_s), _ms(cue[-1].end_s), segment.channel, tuple(lines(cue, width)))


def _break_cost(found: Sequence[Atom], end: int) -> float:
    if end == len(found):
        return 0.0
    cost = found[end - 1].break_cost
    paused = found[end].start_s - found[end - 1].end_s >= _PAUSE_S
    return min(cost, _PAUSE_BREAK_COST) if paused else cost


def _spread(own: Sequence[Cue], max_ms: int, audio_end_ms: int) -> list[Cue]:
    """One channel's cues one after another: none empty, none too long, short ones longer where there is room."""
    starts: list[int] = []
    for cue in own:
        starts.append(max(cue.start_ms, starts[-1] + 1) if starts else cue.start_ms)
    result = []
    for index, cue in enumerate(own):
        start_ms = starts[index]
        room_ms = starts[index + 1] if index + 1 < len(own) else max(audio_end_ms, cue.end_ms)
        end_ms = max(cue.end_ms, start_ms + MIN_CUE_MS)
        if room_ms - end_ms < _FLICKER_MS:
            end_ms = room_ms
        end_ms = min(end_ms, start_ms + max_ms)
        result.append(replace(cue, start_ms=start_ms, end_ms=max(end_ms, start_ms + 1)))
    return result
