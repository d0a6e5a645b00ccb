"""What the real model hears behind prompts of any length: recordings cut into windows, with a text before each."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from tests.speech import CORPUS, MODELS, PROJECT, decoded
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.prompts import PromptBook
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Recipe, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import resolve
from transcriber_worker.inference.options import as_hotwords
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import ModelSettings
from transcriber_worker.tools.bench.word_errors import Errors, word_errors

DEMO = PROJECT / "demo" / "recordings"
RUNTIME = Runtime(device="cpu", compute_type="int8", beam_size=5, workers=1, cpu_threads=2)
WINDOW_S = 29.5
BATCH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording with its text and its windows."""

    name: str
    text: str
    language: str
    windows: tuple[Pcm, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of some recordings, and of the terms that were asked for."""

    errors: Errors
    spelled: int
    """Occurrences of a term that were written as asked."""
    spoken: int
    leaked: tuple[str, ...]
    """Terms that were written more often than they were spoken."""

    def __add__(self, other: "Heard") -> "Heard":
        return Heard(
            self.errors + other.errors,
            self.spelled + other.spelled,
            self.spoken + other.spoken,
            self.leaked + other.leaked,
        )


class Prompted:
    """The model, with the text before its windows as the caller wants it."""

    def __init__(self) -> None:
        files = resolve(ModelSettings(cache_dir=MODELS), print)
        self.model = WhisperBatchModel.load(files, RUNTIME, Meter(Metrics(CollectorRegistry()), SystemClock()))
        self.book = PromptBook(self.model.encode_text, self.model.count_text)

    def exact(self, terms: Sequence[str]) -> tuple[int, ...]:
        """Tokens of hotwords alone."""
        return self.model.encode_text(as_hotwords(terms) or "")

    def decode(
        self,
        windows: Sequence[Pcm],
        language: str,
        before: tuple[int, ...] = (),
        frames: Callable[[Pcm], int] | None = None,
    ) -> list[Decoded]:
        """Hear windows behind the tokens `before`. `frames`: how long to make each, 30 s by default."""
        rows = [
            Row(
                pcm=pcm,
                frames=frames(pcm) if frames else FULL_FRAMES,
                recipe=Recipe(len(before)),
                task=Task.TRANSCRIBE,
                prompt=before,
                language=language,
                choose_language=lambda ranking: ranking[0][0],
            )
            for pcm in windows
        ]
        return [said for at in range(0, len(rows), BATCH) for said in self.model.decode(rows[at : at + BATCH])]

    def text(self, recording: Recording, before: tuple[int, ...]) -> str:
        """What is heard of a recording behind the tokens `before`."""
        return "".join(said.text for said in self.decode(recording.windows, recording.language, before))

    def hear(self, recording: Recording, before: tuple[int, ...], terms: Sequence[str]) -> Heard:
        """Hear a recording behind the tokens `before` and count."""
        text = self.text(recording, before)
        spoken = [occurrences(term, recording.text) for term in terms]
        written = [occurrences(term, text) for term in terms]
        return Heard(
            errors=word_errors(recording.text, text),
            spelled=sum(map(min, spoken, written)),
            spoken=sum(spoken),
            leaked=tuple(term for term, said, read in zip(terms, spoken, written, strict=True) if read > said),
        )


def occurrences(term: str, text: str) -> int:
    """How often `term` stands in `text`, in capitals or not."""
    return len(re.findall(rf"(?<!\w){re.escape(term.lower())}(?!\w)", text.lower()))


def recording(name: str) -> Recording:
    """One of the repository's own recordings, else one of the corpus."""
    folder = DEMO if (DEMO / name).exists() else CORPUS
    listed: Any = json.loads((folder / "manifest.json").read_text())
    entries = listed["recordings"] if isinstance(listed, dict) else listed
    entry = next(entry for entry in entries if entry["file"] == name)
    return Recording(name, entry["text"], entry.get("language", "en"), tuple(windows(folder / name)))


def windows(path: Path) -> list[Pcm]:
    """The recording cut at its pauses, with faster-whisper's own voice activity detection."""
    from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps

    options = VadOptions(max_speech_duration_s=WINDOW_S, min_silence_duration_ms=160)
    audio = decoded(path).astype(np.float32) / 32768.0
    chunks, _ = collect_chunks(audio, get_speech_timestamps(audio, options), max_duration=WINDOW_S)
    return [_pcm(chunk) for chunk in chunks if len(chunk)]


def white_noise(seconds: float, level: float = 0.1) -> Pcm:
    """As it is between two radio stations. `level`: of full scale."""
    return _pcm(np.random.default_rng(1).normal(size=round(seconds * SAMPLE_RATE_HZ)) * level)


def music(seconds: float) -> Pcm:
    """Plucked strings without any voice: two notes a second, each with its overtones."""
    generator = np.random.default_rng(3)
    samples = np.zeros(round(seconds * SAMPLE_RATE_HZ))
    for begin in range(0, len(samples), SAMPLE_RATE_HZ // 2):
        at = np.arange(min(SAMPLE_RATE_HZ, len(samples) - begin)) / SAMPLE_RATE_HZ
        pitch_hz = generator.choice([261.6, 293.7, 329.6, 349.2, 392.0, 440.0, 523.3])
        tone = sum(np.sin(2 * np.pi * pitch_hz * overtone * at) / overtone for overtone in (0.5, 1, 2, 3, 4))
        samples[begin : begin + len(at)] += tone * np.exp(-2 * at)
    return _pcm(samples / np.abs(samples).max() * 0.15)


def _pcm(samples: npt.NDArray[np.float64]) -> Pcm:
    pcm: Pcm = np.rint(samples * 32768.0).clip(-32768, 32767).astype(np.int16)
    return pcm
