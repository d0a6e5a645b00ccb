"""The flags a segment may carry."""

import math
from dataclasses import replace

from transcriber_worker.domain.transcript import Segment
from transcriber_worker.settings import TranscriptSettings

LOW_CONFIDENCE = "low_confidence"
NO_SPEECH_LIKELY = "no_speech_likely"
REPETITION = "repetition"


def with_flag(segment: Segment, flag: str) -> Segment:
    """`segment` with `flag` among its flags, in alphabetical order."""
    return replace(segment, flags=tuple(sorted({*segment.flags, flag})))


def flagged(segment: Segment, settings: TranscriptSettings) -> Segment:
    """`segment` with the confidence flags that its figures call for; a figure that is no number is no confidence."""
    if math.isnan(segment.avg_logprob) or segment.avg_logprob < settings.low_confidence_logprob:
        segment = with_flag(segment, LOW_CONFIDENCE)
    if segment.no_speech_prob > settings.no_speech_threshold:
        segment = with_flag(segment, NO_SPEECH_LIKELY)
    return segment
