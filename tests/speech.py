"""Builders for what the inference room works on: windows, listeners, and real speech cut into slabs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.job import Priority, SpeechOptions
from transcriber_worker.inference.base import Listener

PROJECT = Path(__file__).parents[1]
MODELS = PROJECT / ".models"
CORPUS = PROJECT.parent / "shared" / "corpus"


def a_window(
    index: int = 0,
    *,
    seconds: float = 2.0,
    start_s: float = 0.0,
    channel: int | None = None,
    speech: Sequence[Span] | None = None,
    core: Span | None = None,
    speed: float = 1.0,
    pcm: Pcm | None = None,
) -> Window:
    """A window of silence, speech claimed all over it unless told otherwise. `seconds`: on the file's timeline."""
    samples = np.zeros(round(seconds / speed * SAMPLE_RATE_HZ), np.int16) if pcm is None else pcm
    whole = Span(start_s, start_s + len(samples) / SAMPLE_RATE_HZ * speed)
    return Window(
        index=index,
        channel=channel,
        core=core or whole,
        pcm_start_s=start_s,
        pcm=samples,
        speech=(whole,) if speech is None else tuple(speech),
        speed=speed,
    )


def a_listener(
    key: str = "job-1",
    *,
    options: SpeechOptions | None = None,
    cancel: CancelToken | None = None,
    priority: Priority = Priority.NORMAL,
    deadline: float | None = None,
) -> Listener:
    return Listener(key, options or SpeechOptions(), cancel or CancelToken(), priority, deadline)


def decoded(path: Path) -> Pcm:
    """The file as 16 kHz mono int16, through faster-whisper's own decoder."""
    from faster_whisper import decode_audio

    samples: Any = decode_audio(str(path))
    pcm: Pcm = np.rint(samples * 32768.0).astype(np.int16)
    return pcm


def slabs(pcm: Pcm, slab_s: float = 300.0) -> list[Window]:
    """Cut a recording into windows with faster-whisper's own voice activity detection, each as many whole stretches of
    speech as fit into `slab_s`."""
    from faster_whisper.vad import get_speech_timestamps

    found: Any = get_speech_timestamps(pcm.astype(np.float32) / 32768.0)
    spans = [Span(s["start"] / SAMPLE_RATE_HZ, s["end"] / SAMPLE_RATE_HZ) for s in found]
    groups: list[list[Span]] = []
    for span in spans:
        if groups and span.end_s - groups[-1][0].start_s <= slab_s:
            groups[-1].append(span)
        else:
            groups.append([span])
    return [_slab(index, pcm, group) for index, group in enumerate(groups)]


def _slab(index: int, pcm: Pcm, spans: list[Span]) -> Window:
    start, end = round(spans[0].start_s * SAMPLE_RATE_HZ), round(spans[-1].end_s * SAMPLE_RATE_HZ)
    return a_window(index, start_s=start / SAMPLE_RATE_HZ, speech=spans, pcm=pcm[start:end])
