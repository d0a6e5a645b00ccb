"""What this worker is measured against: faster-whisper as one uses it without us. Only `bench` imports this."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faster_whisper

from transcriber_worker.inference.loading import load_cublas, pick_device
from transcriber_worker.inference.model_files import ModelFiles


@dataclass(frozen=True, slots=True)
class Told:
    """What was heard in a file."""

    text: str
    timed_words: int
    """Words that came with times of their own."""
    language: str
    audio_s: float
    tokens: int
    """Text tokens, of what was decoded again only the last."""


@dataclass(frozen=True, slots=True)
class BaselineOptions:
    """How faster-whisper is used."""

    device: str
    compute_type: str
    beam_size: int
    at_once: int
    """Files transcribed at the same time, each alone on a CTranslate2 worker of its own."""
    cores: int
    """Threads of all workers together, but at least one each."""
    batch_size: int | None = None
    """With `BatchedInferencePipeline`, so many windows of a file at once; None: `WhisperModel.transcribe`."""


class Baseline:
    """faster-whisper's own decoding, voice activity detection and transcription of a whole file. Thread-safe: as many
    files at once as there are workers."""

    def __init__(self, files: ModelFiles, options: BaselineOptions) -> None:
        device, compute_type = pick_device(options.device, options.compute_type)
        if device == "cuda":
            load_cublas()
        self.threads = max(1, options.cores // options.at_once)
        self._options = options
        self._model: Any = faster_whisper.WhisperModel(
            str(files.path),
            device=device,
            compute_type=compute_type,
            cpu_threads=self.threads,
            num_workers=options.at_once,
        )
        self._text_tokens: int = self._model.hf_tokenizer.token_to_id("<|endoftext|>")
        self.device, self.compute_type = device, str(self._model.model.compute_type)

    def hear(self, path: Path, language: str | None) -> Told:
        """Transcribe a file; `language` None: detect it. Raises whatever the libraries raise."""
        segments, info = self._transcribe(path, language)
        heard = list(segments)
        return Told(
            text="".join(segment.text for segment in heard),
            timed_words=sum(len(segment.words or ()) for segment in heard),
            language=info.language,
            audio_s=float(info.duration),
            tokens=sum(token < self._text_tokens for segment in heard for token in segment.tokens),
        )

    def _transcribe(self, path: Path, language: str | None) -> Any:
        asked: dict[str, Any] = {
            "language": language,
            "beam_size": self._options.beam_size,
            "word_timestamps": True,
            "vad_filter": True,
        }
        if self._options.batch_size is None:
            return self._model.transcribe(str(path), **asked)
        # One a file: with word timestamps the pipeline keeps something of the file in itself.
        pipeline = faster_whisper.BatchedInferencePipeline(self._model)
        return pipeline.transcribe(str(path), batch_size=self._options.batch_size, **asked)
