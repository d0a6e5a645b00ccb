"""Recordings put together from turns of the demo's recordings, with the text of each: languages that meet, voices that
change in the middle of a window."""

import functools
import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import decode_audio

from tests.speech import PROJECT
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm

RECORDINGS = PROJECT / "demo" / "recordings"
_EDGE_S = 0.1
"""Kept before and behind a turn, whose times are those of its sound."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One turn of one voice."""

    pcm: Pcm
    """int16, (n,), mono 16 kHz."""
    text: str
    language: str


def turn(recording: str, number: int = 0) -> Turn:
    """The `number`-th turn of a recording, from 0."""
    entry = _entries()[recording]
    said = entry["turns"][number]
    samples: Any = decode_audio(str(RECORDINGS / recording), split_stereo=entry["channels"] == 2)
    channel = samples[said["channel"]] if entry["channels"] == 2 else samples
    start, end = (round(time_s * SAMPLE_RATE_HZ) for time_s in (said["start_s"] - _EDGE_S, said["end_s"] + _EDGE_S))
    pcm: Pcm = np.rint(channel[max(0, start) : end] * 32767.0).astype(np.int16)
    return Turn(pcm, said["text"], entry["language"])


def together(turns: Sequence[Turn], pause_s: float = 0.6) -> Pcm:
    """The turns one after another, with silence between them."""
    pause = np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.int16)
    parts = [part for each in turns for part in (each.pcm, pause)]
    return np.concatenate(parts[:-1])


def text_of(turns: Sequence[Turn]) -> str:
    return " ".join(each.text for each in turns)


def write(pcm: Pcm, path: Path) -> Path:
    """Write a WAV file; its path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.tobytes())
    return path


@functools.cache
def _entries() -> dict[str, Any]:
    manifest = json.loads((RECORDINGS / "manifest.json").read_text())
    return {entry["file"]: entry for entry in manifest["recordings"]}
