"""Media files for tests: real speech from the demo's recordings, and files written (and broken) with PyAV."""

import io
import wave
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Span, Window
from transcriber_worker.media.base import WindowLimits
from transcriber_worker.media.decoder import DecodeOptions, Decoder
from transcriber_worker.media.opening import open_media
from transcriber_worker.media.protocol import MediaJob
from transcriber_worker.media.speech_spans import SpeechThresholds

PROJECT = Path(__file__).parents[1]
RECORDINGS = PROJECT / "demo" / "recordings"
CORPUS = PROJECT.parent / "shared" / "corpus"
SLABS = WindowLimits(300.0, 300.0)
"""The sequential engine's."""
PACKED = WindowLimits(29.5, 118.0)
"""The batching engine's."""

CODECS: Mapping[str, tuple[str, int]] = {
    "wav": ("pcm_s16le", 16_000),
    "flac": ("flac", 44_100),
    "mp3": ("libmp3lame", 44_100),
    "opus": ("libopus", 48_000),
    "ogg": ("libopus", 48_000),
    "m4a": ("aac", 44_100),
    "mp4": ("aac", 44_100),
    "mkv": ("libopus", 48_000),
    "webm": ("libopus", 48_000),
    "mov": ("pcm_s16le", 16_000),
    "aac": ("aac", 44_100),
    "ac3": ("ac3", 48_000),
    "aiff": ("pcm_s16be", 16_000),
    "caf": ("pcm_s16le", 16_000),
    "ts": ("aac", 44_100),
    "wma": ("wmav2", 44_100),
    "amr": ("libopencore_amrnb", 8_000),
}
"""By file ending: an encoder, and the rate it is fed."""


def corpus(name: str) -> Path:
    """A file of the shared corpus; the test is skipped, visibly, where that is not there."""
    path = CORPUS / name
    if not path.exists():
        pytest.skip(f"the shared corpus is not here ({name})")
    return path


def speech() -> Pcm:
    """8.5 s of a clear voice, int16, (n,), 16 kHz, without pauses of two seconds."""
    with wave.open(str(RECORDINGS / "ferry-notice.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16)


def tone(seconds: float, *, hz: float = 440.0) -> Pcm:
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (8000 * np.sin(2 * np.pi * hz * times)).astype(np.int16)


def noise(seconds: float, *, seed: int = 7) -> Pcm:
    """White noise: every piece of it has its place, so that a shift of one sample shows."""
    return np.random.default_rng(seed).integers(-8000, 8000, round(seconds * SAMPLE_RATE_HZ)).astype(np.int16)


def write_media(path: Path, pcm: Pcm, *, options: Mapping[str, str] | None = None, shift_s: float = 0.0) -> Path:
    """Encode `pcm`, int16, (n,) or (2, n), 16 kHz, as the path's ending says. `shift_s`: where it begins."""
    codec, rate = CODECS[path.suffix[1:]]
    rows = np.atleast_2d(pcm)
    layout = ("mono", "stereo")[len(rows) - 1]
    names = {"ts": "mpegts", "wma": "asf"}
    with av.open(str(path), "w", format=names.get(path.suffix[1:]), options=dict(options or {})) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if codec in ("libmp3lame", "wmav2"):
            stream.codec_context.bit_rate = 64_000
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(rows.T).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = SAMPLE_RATE_HZ
        fifo = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            fifo.write(part)
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 4096
        at = round(shift_s * rate)
        while (piece := fifo.read(size, partial=True)) is not None:
            piece.pts = at
            piece.time_base = Fraction(1, rate)
            at += piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def decode(path: Path, *, split: bool = False, clip: Span | None = None, speed: float = 1.0) -> tuple[Pcm, Decoder]:
    """All samples of a file, int16, (channels, n), and the decoder that made them, in this process."""
    with path.open("rb", buffering=0) as file:
        media = open_media(file)
        decoder = Decoder(media, DecodeOptions(split, clip, speed, 36_000.0))
        blocks = list(decoder.blocks())
        media.container.close()
    return (np.concatenate(blocks, axis=1) if blocks else np.empty((1, 0), np.int16)), decoder


def a_media_job(
    *,
    split: bool = False,
    clip: Span | None = None,
    speed: float = 1.0,
    limits: WindowLimits = SLABS,
    max_duration_s: float = 36_000.0,
    thresholds: SpeechThresholds | None = None,
) -> MediaJob:
    return MediaJob("", split, clip, speed, limits, max_duration_s, thresholds or SpeechThresholds())


def spoken(window: Window) -> Pcm:
    """The samples of a window's speech, one stretch after the other."""
    parts = [window.pcm[window.sample_at(span.start_s) : window.sample_at(span.end_s)] for span in window.speech]
    return np.concatenate(parts)


def lag_samples(heard: Pcm, original: Pcm, *, most: int = 4000) -> int:
    """By how many samples `heard` comes later than `original`, of equal beginnings, by cross-correlation."""
    length = min(len(heard), len(original))
    a, b = (np.fft.rfft(part[:length].astype(np.float64), 2 * length) for part in (heard, original))
    correlation = np.fft.irfft(a * np.conj(b))
    lags = np.concatenate((correlation[-most:], correlation[: most + 1]))
    return int(np.argmax(lags)) - most


def wav_bytes(pcm: Pcm) -> bytes:
    """`pcm`: int16, (n,) or (channels, n), any number of channels."""
    rows = np.atleast_2d(pcm)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(rows))
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.ascontiguousarray(rows.T).tobytes())
    return buffer.getvalue()


def long_silence(path: Path, seconds: float) -> Path:
    """A wav file of any length that takes no room on the disk."""
    length = round(seconds * SAMPLE_RATE_HZ) * 2
    head = bytearray(wav_bytes(silence(0.0))[:44])
    head[4:8], head[40:44] = (36 + length).to_bytes(4, "little"), length.to_bytes(4, "little")
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(44 + length)
    return path
