"""Recordings on disk, what is known of them, and what their audio is: read by our own media reader."""

import json
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.job import MediaOptions
from transcriber_worker.media.base import MediaReader, MediaRequest
from transcriber_worker.tools.demo import recordings_in

MANIFEST = "manifest.json"


class NoRecordings(Exception):
    """There is nothing to work on; the message says what to name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, and what its manifest knows of it."""

    path: Path
    text: str | None = None
    language: str | None = None
    damaged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A recording's audio, silent where nobody speaks."""

    pcm: Pcm
    """int16, (n,), mono 16 kHz."""
    spans: tuple[Span, ...]
    """Where somebody speaks, in order, not overlapping."""
    pauses: tuple[Span, ...]
    """Where nobody does for a moment within them."""


def recordings_at(place: Path) -> list[Recording]:
    """The recording at `place`, or all those of the folder, by name. Raises `NoRecordings`."""
    paths = recordings_in(place) if place.is_dir() else [place]
    if not paths or not place.exists():
        raise NoRecordings(f"there are no recordings at {place}: name a recording or a folder of them with --audio")
    known = _manifest(paths[0].parent / MANIFEST)
    return [_recording(path, known.get(path.name, {})) for path in paths]


def read_speech(reader: MediaReader, path: Path) -> Speech:
    """Read a file as the worker does; raises what the reader does."""
    with reader.open(MediaRequest(path, MediaOptions(), CancelToken())) as stream:
        windows = list(stream.windows())
        end_s = stream.report.end_s
    pcm = np.zeros(round(end_s * SAMPLE_RATE_HZ), np.int16)
    for window in windows:
        start = round(window.pcm_start_s * SAMPLE_RATE_HZ)
        piece = window.pcm[: len(pcm) - start]
        pcm[start : start + len(piece)] = piece
    # Where a window was cut through speech, its neighbour's speech overlaps with its own.
    spans = _merged(span for window in windows for span in window.speech)
    return Speech(pcm, spans, _merged(span for window in windows for span in window.pauses))


def write_wav(path: Path, pcm: Pcm) -> None:
    """`pcm`: int16, (n,), mono 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.astype("<i2").tobytes())


def _recording(path: Path, known: dict[str, Any]) -> Recording:
    text = known.get("text")
    return Recording(
        path=path.absolute(),
        text=text if isinstance(text, str) else None,
        language=known.get("language"),
        damaged=bool(known.get("damaged", False)),
    )


def _manifest(path: Path) -> dict[str, dict[str, Any]]:
    """By file name; a list of objects with `file` and `text`, alone or under `recordings`."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = found["recordings"] if isinstance(found, dict) else found
        return {entry["file"]: entry for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise NoRecordings(f"{path} is no manifest (a list of objects with file and text): {error}") from error


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        if merged and span.start_s <= merged[-1].end_s:
            merged[-1] = Span(merged[-1].start_s, max(merged[-1].end_s, span.end_s))
        else:
            merged.append(span)
    return tuple(merged)
