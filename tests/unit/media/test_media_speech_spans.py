"""Our incremental spans against faster-whisper's own function."""

from typing import Any

import faster_whisper.vad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber_worker.media.speech_spans import CHUNK_SAMPLES, SampleSpan, SpeechSpans, SpeechThresholds


def reference(probabilities: list[float], total: int, thresholds: SpeechThresholds) -> list[SampleSpan]:
    """faster-whisper's function, with its network replaced by the given answers."""
    answers = np.array(probabilities, np.float32)
    options = faster_whisper.vad.VadOptions(
        threshold=thresholds.threshold,
        min_silence_duration_ms=thresholds.min_silence_ms,
        speech_pad_ms=thresholds.speech_pad_ms,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faster_whisper.vad, "get_vad_model", lambda: lambda audio: answers)
        found: list[dict[str, Any]] = faster_whisper.vad.get_speech_timestamps(np.zeros(total, np.float32), options)
    return [(span["start"], span["end"]) for span in found]


def ours(probabilities: list[float], total: int, thresholds: SpeechThresholds, piece: int) -> list[SampleSpan]:
    spans = SpeechSpans(thresholds)
    found: list[SampleSpan] = []
    for at in range(0, len(probabilities), piece):
        found += spans.feed(probabilities[at : at + piece])
    return found + spans.finish(total)


rows = st.lists(
    st.tuples(st.integers(1, 100), st.sampled_from([0.0, 0.2, 0.34, 0.36, 0.49, 0.5, 0.8])), min_size=1, max_size=25
).map(lambda runs: [p for length, p in runs for _ in range(length)])

thresholds_drawn = st.builds(
    SpeechThresholds,
    threshold=st.sampled_from([0.5, 0.3, 0.1]),
    min_silence_ms=st.sampled_from([2000, 500, 160, 100, 0]),
    speech_pad_ms=st.sampled_from([400, 0, 30, 1000]),
)


@settings(max_examples=300, deadline=None)
@given(rows, st.integers(1, 511), thresholds_drawn, st.integers(1, 500))
def test_spans_equal_those_on_the_whole_whatever_the_pieces(
    probabilities: list[float], rest: int, thresholds: SpeechThresholds, piece: int
) -> None:
    total = (len(probabilities) - 1) * CHUNK_SAMPLES + rest
    assert ours(probabilities, total, thresholds, piece) == reference(probabilities, total, thresholds)


@settings(max_examples=150, deadline=None)
@given(rows, thresholds_drawn, st.data())
def test_what_is_called_certain_never_changes(
    probabilities: list[float], thresholds: SpeechThresholds, data: st.DataObject
) -> None:
    """Stop anywhere: the speech known by then, up to `certain_until`, is the speech of the whole up to there."""
    total = (len(probabilities) - 1) * CHUNK_SAMPLES + 1
    final = reference(probabilities, total, thresholds)
    spans = SpeechSpans(thresholds)
    stop = data.draw(st.integers(0, len(probabilities) - 1))
    known = spans.feed(probabilities[:stop])
    if spans.going_on is not None:
        known.append(spans.going_on)
    certain = spans.certain_until
    assert marked(known, certain) == marked(final, certain)


def marked(spans: list[SampleSpan], until: int) -> list[SampleSpan]:
    clipped = [(low, min(high, until)) for low, high in spans if low < until]
    joined: list[SampleSpan] = []
    for low, high in clipped:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        elif high > low:
            joined.append((low, high))
    return joined
