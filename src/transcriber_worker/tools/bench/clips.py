"""Short clips out of a long recording, and a long one out of short ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span
from transcriber_worker.tools.bench.recordings import Speech

MIN_CLIP_S = 4.0
MAX_CLIP_S = 15.0
_TARGETS_S = (6.0, 11.0, 4.5, 8.0, 14.0, 5.0, 9.0, 7.0)
"""Clips come in all lengths; the order repeats, so that the same recording gives the same clips."""
_LONG_PAUSE_S = 1.0
_EDGE_S = 0.3
"""Of a long pause so much stays with the clips on both sides of it."""
_PAUSES_S = (0.6, 1.2, 0.9, 2.4, 0.8)
"""Between recordings that are put together."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A clip may end at `end_s`, and the next then begins at `next_s`."""

    end_s: float
    next_s: float


def clips_of(speech: Speech, count: int) -> list[Span]:
    """The first `count` clips of 4 to 15 s, cut at pauses; together they hold all that is said up to the last one's
    end. Where speech does not pause for so long it is cut through; before that, or between silences, a clip may be
    shorter."""
    if not speech.spans:
        return []
    cuts = _cuts(speech)
    at_s, targets, clips = max(0.0, speech.spans[0].start_s - _EDGE_S), cycle(_TARGETS_S), list[Span]()
    while cuts and len(clips) < count:
        cut = _next(at_s, next(targets), cuts)
        clips.append(Span(at_s, cut.end_s))
        at_s = cut.next_s
        cuts = [later for later in cuts if later.end_s > at_s]
    return clips


def put_together(speeches: Sequence[Speech], seconds: float) -> tuple[Pcm, list[int]]:
    """Recordings one after the other with pauses between, in another order each time around, until `seconds` are full:
    int16, (n,), and which ones, by index. None of them is cut off."""
    pieces: list[Pcm] = []
    order: list[int] = []
    samples, pauses, turn = 0, cycle(_PAUSES_S), 0
    while samples < seconds * SAMPLE_RATE_HZ:
        for place in range(len(speeches)):
            if samples >= seconds * SAMPLE_RATE_HZ:
                break
            index = (place + turn) % len(speeches)
            pause = np.zeros(round(next(pauses) * SAMPLE_RATE_HZ), np.int16)
            pieces += [speeches[index].pcm, pause]
            samples += len(speeches[index].pcm) + len(pause)
            order.append(index)
        turn += 1
    return np.concatenate(pieces), order


def _cuts(speech: Speech) -> list[_Cut]:
    between = [Span(one.end_s, other.start_s) for one, other in pairwise(speech.spans)]
    cuts = []
    for pause in sorted([*between, *speech.pauses], key=lambda pause: pause.start_s):
        middle_s = (pause.start_s + pause.end_s) / 2
        if pause.duration_s > _LONG_PAUSE_S:
            cuts.append(_Cut(pause.start_s + _EDGE_S, pause.end_s - _EDGE_S))
        else:
            cuts.append(_Cut(middle_s, middle_s))
    end_s = speech.spans[-1].end_s
    return [*(cut for cut in cuts if cut.end_s < end_s), _Cut(end_s, end_s)]


def _next(at_s: float, target_s: float, cuts: Sequence[_Cut]) -> _Cut:
    """Where the clip that begins at `at_s` ends. `cuts`: those after it, at least one."""
    fitting = _fitting(at_s, cuts)
    if fitting:
        # Rather one from which the next clip can end at a pause too.
        going_on = [cut for cut in fitting if cut is cuts[-1] or _fitting(cut.next_s, cuts)]
        return min(going_on or fitting, key=lambda cut: abs(cut.end_s - at_s - target_s))
    if cuts[0].end_s - at_s < MIN_CLIP_S:
        before = [cut for cut in cuts if cut.end_s - at_s < MIN_CLIP_S]
        return before[-1]
    through_s = at_s + MAX_CLIP_S
    return _Cut(through_s, through_s)


def _fitting(at_s: float, cuts: Sequence[_Cut]) -> list[_Cut]:
    return [cut for cut in cuts if MIN_CLIP_S <= cut.end_s - at_s <= MAX_CLIP_S]
