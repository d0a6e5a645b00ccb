"""faster-whisper's own transcription behind our own words. Its exceptions stop here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faster_whisper.transcribe import restore_speech_timestamps

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.job import Task
from transcriber_worker.domain.transcript import Segment, Word
from transcriber_worker.inference.accelerator_errors import judged
from transcriber_worker.inference.loading import LoadedModel, Runtime, check_heard, explained, known_sentence
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.options import most_probable
from transcriber_worker.inference.speech import Phrase, Samples, Stretch


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
    mixed: bool = False
    """Whether to ask for the language again every 30 s."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transcription will say; the phrases are decoded as they are asked for."""

    language: str
    language_probability: float
    phrases: Iterator[Phrase]


class Whisper:
    """A loaded model. Thread-safe: as many transcriptions run at once as it has workers."""

    def __init__(self, loaded: LoadedModel, beam_size: int) -> None:
        self._model = loaded.whisper
        self._beam_size = beam_size
        self._loaded = loaded

    @classmethod
    def load(cls, model_files: ModelFiles, runtime: Runtime) -> "Whisper":
        """Load and try out a model; raises `WorkerBroken` with what to install or set."""
        with explained(model_files, runtime):
            whisper = cls(LoadedModel(model_files, runtime), runtime.beam_size)
            segments, _ = whisper._model.transcribe(known_sentence(), language="en", beam_size=runtime.beam_size)
            check_heard((segment.text for segment in segments), runtime)
        return whisper

    @property
    def languages(self) -> tuple[str, ...]:
        return self._loaded.languages

    @property
    def compute_type(self) -> str:
        """What it really computes in."""
        return self._loaded.compute_type

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of a prompt, as faster-whisper makes them."""
        return self._loaded.encode_text(text)

    def count_text(self, tokens: Sequence[int]) -> int:
        """How many of the tokens are text, neither timestamps nor control tokens."""
        return self._loaded.count_text(tokens)

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
            multilingual=asked.mixed,
        )

    def _phrases(self, segments: Any, speech: Sequence[Stretch]) -> Iterator[Phrase]:
        chunks = [{"start": stretch.start, "end": stretch.end} for stretch in speech]
        try:
            for segment in restore_speech_timestamps(segments, chunks, SAMPLE_RATE_HZ):
                yield Phrase(_segment(segment), tuple(segment.tokens))
        except RuntimeError as error:
            raise judged(error) from error


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
