"""Fragments of one sentence become one segment."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from transcriber_worker.domain.transcript import Segment
from transcriber_worker.transcript.wording import ends_sentence, joined, separator

MAX_MERGED_S = 20.0
MAX_MERGED_CHARS = 200
_LEAST_WEIGHT_S = 0.01


def merged(segments: Sequence[Segment], merge_gap_s: float) -> list[Segment]:
    """One channel's `segments`, in order of time, with fragments put together: no more than `merge_gap_s` apart, the
    first no end of a sentence, the whole within bounds. Only fragments with the same flags: what is doubted stays apart
    from what is not, and a mean of figures on one side of a threshold stays on that side."""
    result: list[Segment] = []
    for segment in segments:
        if result and _belong_together(result[-1], segment, merge_gap_s):
            result[-1] = _together(result[-1], segment)
        else:
            result.append(segment)
    return result


def weighted_mean(pairs: Iterable[tuple[float, float]]) -> float | None:
    """The mean of (value, duration in seconds) by duration; values that are no finite numbers don't count."""
    finite = [(value, max(weight_s, _LEAST_WEIGHT_S)) for value, weight_s in pairs if math.isfinite(value)]
    if not finite:
        return None
    return sum(value * weight_s for value, weight_s in finite) / sum(weight_s for _, weight_s in finite)


def _belong_together(before: Segment, after: Segment, merge_gap_s: float) -> bool:
    return (
        before.channel == after.channel
        and before.flags == after.flags
        and before.language == after.language
        and after.start_s - before.end_s <= merge_gap_s
        and not ends_sentence(before.text)
        and max(before.end_s, after.end_s) - before.start_s <= MAX_MERGED_S
        and len(joined(before.text, after.text)) <= MAX_MERGED_CHARS
    )


def _together(before: Segment, after: Segment) -> Segment:
    def mean(one: float, other: float) -> float:
        known = weighted_mean(((one, before.end_s - before.start_s), (other, after.end_s - after.start_s)))
        return math.nan if known is None else known

    words = after.words
    if before.words and words and not words[0].text[:1].isspace():
        # The words put together stay the text.
        gap = separator(before.text, after.text)
        words = (replace(words[0], text=gap + words[0].text), *words[1:])
    return replace(
        before,
        end_s=max(before.end_s, after.end_s),
        text=joined(before.text, after.text),
        words=before.words + words,
        avg_logprob=mean(before.avg_logprob, after.avg_logprob),
        no_speech_prob=mean(before.no_speech_prob, after.no_speech_prob),
        compression_ratio=mean(before.compression_ratio, after.compression_ratio),
        temperature=max(before.temperature, after.temperature),
    )
