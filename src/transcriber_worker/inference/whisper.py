"""faster-whisper behind our own words: loading, one transcription, the tokenizer's limits. Its exceptions stop here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import ctranslate2
import faster_whisper
from faster_whisper.transcribe import restore_speech_timestamps

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.domain.job import Task
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.accelerator_errors import judged
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.options import most_probable
from transcriber_worker.inference.speech import Phrase, Samples, Stretch


@dataclass(frozen=True, slots=True)
class Runtime:
    """How to run a model."""

    device: str
    """cpu or cuda."""
    compute_type: str
    beam_size: int
    workers: int
    """Transcriptions at once."""
    cpu_threads: int
    """Of one transcription."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One transcription's options. `language` None: detect it, among `languages` where any are given."""

    language: str | None
    languages: tuple[str, ...]
    task: Task
    word_timestamps: bool
    previous: tuple[int, ...]
    """Tokens of the text before."""
    hotwords: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transcription will say; the phrases are decoded as they are asked for."""

    language: str
    language_probability: float
    phrases: Iterator[Phrase]


def pick_device(device: str, compute_type: str) -> tuple[str, str]:
    """What `auto` means on this machine: (device, compute type)."""
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    return device, compute_type


class Whisper:
    """A loaded model. Thread-safe: as many transcriptions run at once as it has workers."""

    def __init__(self, model: Any, beam_size: int) -> None:
        self._model = model
        self._beam_size = beam_size
        token_id = model.hf_tokenizer.token_to_id
        self._text_tokens: int = token_id("<|endoftext|>")
        # A model may be older than a language that faster-whisper lists.
        self.languages = tuple(
            code
            for code in model.supported_languages
            if not model.model.is_multilingual or token_id(f"<|{code}|>") is not None
        )

    @classmethod
    def load(cls, model_files: ModelFiles, runtime: Runtime) -> "Whisper":
        """Load and try out a model; raises `WorkerBroken` with what to install or set."""
        try:
            model = faster_whisper.WhisperModel(
                str(model_files.path),
                device=runtime.device,
                compute_type=runtime.compute_type,
                cpu_threads=runtime.cpu_threads,
                num_workers=runtime.workers,
            )
            mel_bands = model.feature_extractor.mel_filters.shape[0]
            if model.model.n_mels != mel_bands:
                raise WorkerBroken(
                    f"{model_files.path}: the model hears {model.model.n_mels} mel bands, the preprocessor is set to "
                    f"{mel_bands}: the directory lacks its preprocessor_config.json"
                )
            whisper = cls(model, runtime.beam_size)
            whisper._warm_up(runtime)
        except (RuntimeError, ValueError, OSError) as error:
            raise WorkerBroken(
                f"{model_files.name} does not run on {runtime.device} as {runtime.compute_type}: {error}. On a GPU, "
                "install transcriber-worker[cuda] and a driver that fits; else set model.device: cpu or another "
                "model.compute_type"
            ) from error
        return whisper

    @property
    def compute_type(self) -> str:
        """What it really computes in: CTranslate2 falls back where the device lacks a type."""
        return str(self._model.model.compute_type)

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of a prompt, as faster-whisper makes them."""
        return tuple(self._model.hf_tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids)

    def transcribe(self, samples: Samples, speech: Sequence[Stretch], asked: Asked) -> Answer:
        """Transcribe the `speech` of a window. `samples`: float32, (n,), mono 16 kHz, the stretches one after another;
        the phrases' times are into the window. Raises `RetryJob` and `WorkerBroken`, also while decoding."""
        try:
            segments, info = self._begin(samples, asked, asked.language)
            language, probability = info.language, info.language_probability
            if asked.language is None and asked.languages and language not in asked.languages:
                language, probability = most_probable(info.all_language_probs, asked.languages)
                segments, _ = self._begin(samples, asked, language)
        except RuntimeError as error:
            raise judged(error) from error
        return Answer(language, float(probability), self._phrases(segments, speech))

    def _begin(self, samples: Samples, asked: Asked, language: str | None) -> tuple[Any, Any]:
        return self._model.transcribe(  # type: ignore[no-any-return]
            samples,
            language=language,
            task=asked.task.value,
            beam_size=self._beam_size,
            initial_prompt=asked.previous,
            hotwords=asked.hotwords,
            word_timestamps=asked.word_timestamps,
            vad_filter=False,
        )

    def _phrases(self, segments: Any, speech: Sequence[Stretch]) -> Iterator[Phrase]:
        chunks = [{"start": stretch.start, "end": stretch.end} for stretch in speech]
        try:
            for segment in restore_speech_timestamps(segments, chunks, SAMPLE_RATE_HZ):
                yield Phrase(_segment(segment), tuple(segment.tokens))
        except RuntimeError as error:
            raise judged(error) from error

    def count_text(self, tokens: Sequence[int]) -> int:
        """How many of the tokens are text, neither timestamps nor control tokens."""
        return sum(token < self._text_tokens for token in tokens)

    def _warm_up(self, runtime: Runtime) -> None:
        """Hear a known sentence: a GPU build that does not fit its driver can stay silent instead of failing."""
        with as_file(files(__package__) / "warmup.ogg") as path:
            segments, _ = self._model.transcribe(str(path), language="en", beam_size=self._beam_size)
        if not any(character.isalpha() for segment in segments for character in segment.text):
            raise WorkerBroken(
                f"the model heard nothing in a clear sentence on {runtime.device} as {runtime.compute_type}: the "
                "driver or the compute type does not fit; set model.compute_type, or model.device: cpu"
            )


def _segment(segment: Any) -> Segment:
    return Segment(
        start_s=float(segment.start),
        end_s=float(segment.end),
        text=segment.text,
        words=tuple(Word(float(w.start), float(w.end), w.word, float(w.probability)) for w in segment.words or ()),
        avg_logprob=float(segment.avg_logprob),
        no_speech_prob=float(segment.no_speech_prob),
        compression_ratio=float(segment.compression_ratio),
        temperature=float(segment.temperature),
    )
